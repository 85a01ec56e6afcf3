"""`python -m tests.unit.gateway.jobs.toy_service`: the real service without an engine, with the toy worker."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from gateway.access.keyring import Keyring
from gateway.access.rates import RateLimiter
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import PlanBuilder
from gateway.selfcheck.run import SelfCheck
from gateway.service import serve, supervisor
from gateway.service.evidence import open_evidence
from gateway.service.gateway import Gateway, open_stores
from gateway.service.lifecycle import Lifecycle
from gateway.service.metrics import GatewayMetrics
from gateway.service.sequencer import Sequencer
from gateway.settings import Settings
from gateway.store.api_keys import ApiKeyStore
from gateway.store.checkpoint_file import CheckpointFile
from gateway.store.generation import KEYS_FILE, GenerationFile
from gateway.store.rates import RateStore
from gateway.store.vault import PayloadVault, load_or_create_key
from tests.unit.gateway.jobs.stub_service import MANIFEST, StubService, build
from tests.unit.gateway.requests.test_erasure import Engine


async def open_gateway(stack: AsyncExitStack, settings: Settings, *_: Any, lifecycle: Lifecycle, **__: Any) -> Gateway:
    metrics, adapters = GatewayMetrics(), Engine()
    stores = await open_stores(stack, settings, lifecycle)
    policy = ActivePolicy(stores.requests, adapters, PlanBuilder(b"k"), metrics, stores.generation, staleness_s=60)
    keyring = Keyring(ApiKeyStore(stores.redis), GenerationFile(settings.data_dir, KEYS_FILE), staleness_s=60)
    await policy.refresh()
    await keyring.refresh()
    # Nobody asks it for metrics: reading the policy again stands for counting what is resident.
    census = SimpleNamespace(take=policy.refresh)
    engine: Any = SimpleNamespace(llm=SimpleNamespace(errored=False), holdings=adapters, census=census)
    assert stores.own_redis is not None
    if "TOY_ANSWERING" in os.environ:  # a model request that does not end
        stack.enter_context(lifecycle.request())
    app = build(StubService(stores.own_redis.url))
    rates = RateLimiter(RateStore(stores.redis), metrics)
    sequencer = Sequencer(stores.log, stores.evidence_keys, CheckpointFile(settings.data_dir), metrics)
    vault, keys = PayloadVault(load_or_create_key(settings)), stores.evidence_keys.load
    evidence = await open_evidence(
        stack, settings, stores.redis, stores.requests, vault, stores.log, keys, MANIFEST.digests, metrics
    )
    return Gateway(metrics, stores, engine, policy, keyring, rates, SelfCheck([]), sequencer, evidence, app)


if __name__ == "__main__":
    worker = (sys.executable, "-m", "tests.unit.gateway.jobs.toy_worker")
    with patch.object(serve, "open_gateway", open_gateway), patch.object(supervisor, "WORKER", worker):
        raise SystemExit(serve.run(Settings(), []))

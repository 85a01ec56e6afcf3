"""The parts of the running service, put together in three stages: stores, engine, and what answers.

A stage takes what the earlier ones gave. What it opens is closed by the stack that it is given, in reverse order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis
from starlette.types import ASGIApp

from adapters.artifact.spec import PairSpec
from gateway.access.keyring import Keyring
from gateway.access.rates import RateLimiter
from gateway.access.service import KeyService
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine import boot
from gateway.engine.planning import EnginePlan, engine_version, plan_engine
from gateway.engine.residency.holdings import Holdings
from gateway.engine.residency.loras import LoraLibrary
from gateway.engine.residency.rows import Residency
from gateway.engine.residency.slots import SlotTable
from gateway.evidence.log.witness import parse_witnesses
from gateway.evidence.report.manifest import ServedManifest, served_manifest
from gateway.http.app import assemble, running
from gateway.http.auth import Gatekeeper
from gateway.http.log import LogAccess
from gateway.jobs.queue import JobQueue
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import PlanBuilder
from gateway.policy.scope.detectors import SharedDetectors
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import Scopes
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.offering import ServedModel
from gateway.requests.reports import Reports
from gateway.requests.service import UnlearningService
from gateway.selfcheck import canaries
from gateway.selfcheck.assembly import EngineSelfCheck, self_check, texts
from gateway.selfcheck.canaries import CanaryMaker, Shelf
from gateway.selfcheck.engine import TOLERANCE
from gateway.selfcheck.run import SelfCheck
from gateway.service.evidence import EvidenceService, open_evidence
from gateway.service.lifecycle import Lifecycle
from gateway.service.metrics import GatewayMetrics
from gateway.service.residency_metrics import ResidencyMetrics
from gateway.service.scratch import scratch_folder
from gateway.service.sequencer import Sequencer
from gateway.settings import Settings
from gateway.store.api_keys import ApiKeyStore
from gateway.store.blobs import BlobStore
from gateway.store.checkpoint_file import CheckpointFile
from gateway.store.client import connected
from gateway.store.embedded import EmbeddedRedis, redis_server, until_it_answers
from gateway.store.evidence_key import EvidenceKeys
from gateway.store.generation import KEYS_FILE, GenerationFile
from gateway.store.log_tail import LogTail
from gateway.store.probe_sets import KeptProbes
from gateway.store.rates import RateStore
from gateway.store.reports import ReportStore
from gateway.store.requests import RequestStore
from gateway.store.tokens import load_or_create_operator_token
from gateway.store.vault import PayloadVault, load_or_create_key

if TYPE_CHECKING:
    from gateway.engine.memory import PairMemory
    from gateway.engine.residency.census import Census

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The model to serve: a folder or hub id, and the name that callers know it by."""

    source: str
    name: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives the process. own_redis: the embedded server, None where Redis is somebody else's."""

    own_redis: EmbeddedRedis | None
    redis: Redis
    requests: RequestStore
    blobs: BlobStore
    log: LogTail
    evidence_keys: EvidenceKeys
    generation: GenerationFile
    operator_token: str


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine, the door in front of it, and the adapters in it, as the gateway's books and the workers have them."""

    plan: EnginePlan
    llm: Any
    door: Any
    holdings: Holdings
    census: Census
    plans: PlanBuilder
    shelf: Shelf
    model: ServedModel


@dataclass(frozen=True, slots=True)
class Gateway:
    """The whole service, ready to be watched over."""

    metrics: GatewayMetrics
    stores: Stores
    engine: Engine
    policy: ActivePolicy
    keyring: Keyring
    rates: RateLimiter
    self_check: SelfCheck
    sequencer: Sequencer
    evidence: EvidenceService
    app: ASGIApp


async def open_gateway(
    stack: AsyncExitStack,
    settings: Settings,
    model: ModelSource,
    engine_args: Sequence[str],
    *,
    api_keys: Sequence[str],
    lifecycle: Lifecycle,
) -> Gateway:
    """Bring everything up; minutes on a cold compile cache. Raises `GatewayError` for what cannot be served."""
    metrics = GatewayMetrics()
    lifecycle.detail = "starting Redis"
    stores = await open_stores(stack, settings, lifecycle)
    vault = PayloadVault(load_or_create_key(settings))
    detectors = SharedDetectors(vault.scope_key)
    lifecycle.detail = "loading the model"
    # Beside the engine's own start: a request that is to guard at once must not wait for it.
    loading = asyncio.ensure_future(asyncio.to_thread(detectors.get))
    engine = await start_engine(stack, settings, model, engine_args, stores, metrics)
    await loading
    scopes = Scopes(SealedEntries(stores.requests, vault), lambda: Matcher(detectors.get()))
    policy = ActivePolicy(
        stores.requests,
        engine.holdings,
        engine.plans,
        metrics,
        stores.generation,
        staleness_s=settings.policy_staleness_s,
        scopes=scopes,
        prompt_budget=settings.prompt_budget,
    )
    key_store = ApiKeyStore(stores.redis)
    keyring = Keyring(key_store, GenerationFile(settings.data_dir, KEYS_FILE), staleness_s=settings.policy_staleness_s)
    rates = RateLimiter(RateStore(stores.redis), metrics)
    jobs = JobQueue(stores.redis, stores.requests, settings)
    sequencer = Sequencer(
        stores.log, stores.evidence_keys, CheckpointFile(settings.data_dir), metrics, origin=settings.log_origin
    )
    checks = self_check(engine_checks(engine, settings), stores.redis, jobs.state, sequencer.state, settings)
    served = await served_with(engine, model, settings)
    evidence = await open_evidence(
        stack,
        settings,
        stores.redis,
        stores.requests,
        vault,
        stores.log,
        stores.evidence_keys.load,
        served.digests,
        metrics,
        scopes,
    )
    vllm_app = await boot.build_vllm_app(engine.plan, engine.door)
    app = assemble(
        vllm_app,
        service=UnlearningService(
            settings,
            engine.model,
            stores.requests,
            stores.blobs,
            vault,
            policy,
            engine.holdings,
            detectors.get,
        ),
        reports=Reports(
            ReportStore(stores.redis),
            KeptProbes(stores.redis, vault),
            served,
        ),
        certifier=evidence.certifier,
        reverification=evidence.reverification,
        key_service=KeyService(key_store, keyring),
        self_check=checks,
        log_access=LogAccess(stores.log, sequencer, parse_witnesses(settings.log_witnesses)),
        gatekeeper=Gatekeeper(stores.operator_token, api_keys, keyring),
        rates=rates,
        policy=policy,
        holder=engine.holdings,
        store=stores.requests,
        lifecycle=lifecycle,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
    )
    await stack.enter_async_context(running(vllm_app))
    lifecycle.detail = "loading active requests"
    await policy.refresh()
    await keyring.refresh()
    return Gateway(metrics, stores, engine, policy, keyring, rates, checks, sequencer, evidence, app)


async def open_stores(stack: AsyncExitStack, settings: Settings, lifecycle: Lifecycle) -> Stores:
    """Redis, embedded where none is named, and what is kept in it. Raises `StoreUnavailable`, `InvalidKey`."""
    server = redis_server(settings)
    stack.callback(server.stop)
    await until_it_answers(server, partial(setattr, lifecycle, "detail"))
    redis = await stack.enter_async_context(connected(server.url))
    own = server if isinstance(server, EmbeddedRedis) else None
    requests = RequestStore(redis, compact=own is not None)
    generation = GenerationFile(settings.data_dir)
    await requests.policy(generation.load())  # a Redis that is not there fails now, not after the engine is up
    blobs = BlobStore(redis, settings.cache_dir)
    log = LogTail(redis)
    evidence_keys = EvidenceKeys(settings)
    evidence_keys.load()  # one that is none fails now
    return Stores(own, redis, requests, blobs, log, evidence_keys, generation, load_or_create_operator_token(settings))


async def start_engine(
    stack: AsyncExitStack,
    settings: Settings,
    model: ModelSource,
    engine_args: Sequence[str],
    stores: Stores,
    metrics: GatewayMetrics,
) -> Engine:
    """vLLM around the model, and what brings adapters into it. Raises `InvalidEngineArguments`, `InvalidArtifact`."""
    plan = plan_engine(
        model.source,
        served_name=model.name,
        settings=settings,
        extra_args=engine_args,
        default_model=model.is_default,
        spare_rows=canaries.ROWS,
    )
    llm = await boot.start_engine(plan)
    stack.callback(llm.shutdown)

    # These import vLLM, which reads its environment at import: only now is that complete.
    from gateway.engine.door import UnlearningEngine
    from gateway.engine.memory import pair_memory
    from gateway.engine.residency.census import Census
    from gateway.engine.residency.rpc import LoraRpc, RowRpc

    metrics.rows_total.set(settings.soft_rows)
    plans = PlanBuilder(stores.operator_token.encode())
    shelf = Shelf(stores.blobs)
    rows = Residency(SlotTable(plan.layout.soft_rows), shelf, RowRpc(llm), metrics)
    loras = None
    if plan.layout.takes_loras:
        folder = stack.enter_context(scratch_folder(settings.cache_dir / "loras"))
        loras = LoraLibrary(
            LoraRpc(llm), shelf, folder, metrics, max_rank=settings.offset_rank, kept=settings.offset_sets
        )
    holdings = Holdings(rows, loras)
    door = UnlearningEngine(
        llm, plan.layout, plans, holdings, metrics, reserved_tokens=settings.prompt_budget, watches=settings.watch
    )
    digests = CheckpointDigests(settings.cache_dir)
    pair = await asyncio.to_thread(boot.named_pair, plan.layout.pair, digests)
    if loras is not None:
        _report_memory(await pair_memory(llm, plan.layout), pair, metrics)
    served = ServedModel(
        name=plan.args.served_model_name[0],
        digest=await asyncio.to_thread(boot.checkpoint_digest, model.source, digests),
        hidden_size=plan.hidden_size,
        max_tokens=door.model_config.max_model_len,
        count_tokens=boot.token_counter(door),
        pair=pair,
        target_lora=plan.layout.target_lora,
    )
    census = Census(llm, holdings, ResidencyMetrics())
    return Engine(plan, llm, door, holdings, census, plans, shelf, served)


async def served_with(engine: Engine, model: ModelSource, settings: Settings) -> ServedManifest:
    """The manifest of this service's answers."""
    reaching = ("methods", "offset_reference", "prompt_budget", "soft_rows", "watch")
    flags = {name: str(getattr(settings, name)) for name in reaching} | dict(engine.plan.flags)
    flags["model_dtype"] = str(engine.llm.model_config.dtype)
    return await asyncio.to_thread(
        served_manifest,
        checkpoint=boot.checkpoint_folder(model.source),
        model=engine.model.name,
        model_digest=engine.model.digest,
        chat_template=boot.chat_template(engine.plan, engine.door),
        engine=engine_version(),
        pair=engine.model.pair,
        flags=flags,
    )


def engine_checks(engine: Engine, settings: Settings) -> EngineSelfCheck:
    """The self-check of this engine."""
    from gateway.engine.asking import EngineAsker
    from gateway.engine.parts import EngineParts

    encode = engine.door.renderer.get_tokenizer().encode
    dtype = str(engine.llm.model_config.dtype).removeprefix("torch.")
    return EngineSelfCheck(
        EngineAsker(engine.door, engine.holdings, engine.plans),
        EngineParts(engine.llm),
        CanaryMaker(engine.shelf, hidden_size=engine.plan.hidden_size, pair=engine.model.pair),
        engine.holdings,
        texts(lambda text: encode(text, add_special_tokens=False)),
        tolerance=TOLERANCE[dtype] * settings.self_check_tolerance,
        soft="spul" in settings.offered,
    )


def _report_memory(memory: PairMemory, pair: PairSpec | None, metrics: GatewayMetrics) -> None:
    metrics.pair_bytes.labels("weights").set(memory.weights)
    metrics.pair_bytes.labels("slots").set(memory.slots)
    metrics.kv_bytes_per_token.set(memory.kv_token)
    logger.info(
        "pair: %s; weights=%.1f MiB slots=%.1f MiB kv_bytes_per_token=%d, %d without it",
        "none" if pair is None else pair.describe(),
        memory.weights / 2**20,
        memory.slots / 2**20,
        memory.kv_token,
        memory.kv_token_alone,
    )

"""`python -m gateway.jobs.verification REQUEST`: one request evaluated again by the probes that were kept.

It is evaluated as the service answers now, promised beforehand like the first time, and ends in another report. Killed,
it begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time

from redis.asyncio import Redis

from gateway.client.client import UnlearnClient
from gateway.errors import NotFound
from gateway.jobs import evaluation_events
from gateway.jobs.probe import Memory, Prober
from gateway.jobs.probe_set import ProbeSet
from gateway.jobs.reporting import Reporter
from gateway.jobs.scope_gate import ScopeGate
from gateway.jobs.service import PATIENCE_S, service
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.certifier import CERTIFIED
from gateway.service.logs import configure_logging
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import RequestRecord, RequestState
from gateway.store.report_notes import ReportNotes, note_of
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, load_or_create_key

log = logging.getLogger(__name__)


async def verify_again(request_id: str, redis: Redis, client: UnlearnClient, settings: Settings) -> bool:
    """Evaluate a request again; False where there is nothing (any more) to evaluate it by.

    Raises `StoreUnavailable`, `LogRefused`, `ClientError`.
    """
    store = RequestStore(redis, patience_s=PATIENCE_S)
    vault = PayloadVault(load_or_create_key(settings))
    try:
        record = await store.get(request_id)
        probes = ProbeSet.from_bytes(await KeptProbes(redis, vault).get(request_id))
    except NotFound:
        return False
    if record.state not in CERTIFIED or record.digest is None:
        return False
    began = time.monotonic()
    entry = (await SealedEntries(store, vault).entries([record.id])).get(record.id)
    reporter = await Reporter.open(record, entry, client, redis, Memory(), settings)
    prober = Prober(
        client,
        record.id,
        probes.asked,
        (),
        record.language,
        probes.level,
        scope=None if entry is None or not record.matched else await _gate(record, entry, vault, settings),
        tier=probes.tier,
        manifest=reporter.manifest,
        witness=reporter,
        probes=probes,
        served=record.state is RequestState.ACTIVE,
    )
    await prober.evidence(record.digest)
    report = await reporter.report(
        record.digest,
        record.method,
        artifact_bytes=record.artifact_bytes or 0,
        seconds={"evaluation": time.monotonic() - began},
    )
    await ReportNotes(redis, tells_webhook=settings.webhook_url is not None).replace(record, note_of(report))
    log.info("evaluated again id=%s verdict=%s", record.id, report.verdict)
    await asyncio.to_thread(evaluation_events.send, report, settings)  # last: a collector that is away delays nothing
    return True


async def _gate(record: RequestRecord, entry: bytes, vault: PayloadVault, settings: Settings) -> ScopeGate:
    detectors = await asyncio.to_thread(Detectors.default, vault.scope_key)
    return ScopeGate.of(record, ScopeEntry.from_bytes(entry), detectors, settings)


async def run(request_id: str, settings: Settings) -> None:
    async with connected(redis_server(settings).url) as redis:
        with service(settings) as client:
            if not await verify_again(request_id, redis, client, settings):
                log.warning("nothing to evaluate it by any more id=%s", request_id)


def main() -> None:
    configure_logging()
    asyncio.run(run(sys.argv[1], Settings()))
    logging.shutdown()
    os._exit(0)  # without waiting for a question that was left behind


if __name__ == "__main__":
    main()

"""A request that is in force, evaluated again by the probes that its caller had kept."""

from __future__ import annotations

import asyncio
import sys

import pytest
from redis.asyncio import Redis

from adapters.evaluation.levels import Level
from gateway.errors import NotFound, StateConflict
from gateway.evidence.canonical import digest
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Report
from gateway.jobs import probe_set
from gateway.jobs.queue import JobQueue
from gateway.jobs.service import service as open_client
from gateway.jobs.verification import verify_again
from gateway.jobs.worker import Worker
from gateway.requests.reverification import Reverification
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedRedis
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import RequestRecord, RequestState
from gateway.store.reports import ReportStore
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, load_or_create_key
from gateway.store.verifications import Verifications
from tests.unit.gateway.jobs.collector import Collector
from tests.unit.gateway.jobs.stub_service import StubService
from tests.unit.gateway.jobs.test_evaluation import ADAPTER, Evaluated
from tests.unit.gateway.local_server import local_server
from tests.unit.gateway.service.log_host import LogHost
from tests.unit.gateway.store.samples import stored


@pytest.fixture
def vault(settings: Settings) -> PayloadVault:
    return PayloadVault(load_or_create_key(settings))


@pytest.fixture
async def record(
    redis: Redis,
    store: RequestStore,
    settings: Settings,
    service: StubService,
    vault: PayloadVault,
    monkeypatch: pytest.MonkeyPatch,
) -> RequestRecord:
    """Active, with a report and its probes."""
    monkeypatch.setattr(probe_set, "CONTROL_PROBES", 4)
    monkeypatch.setattr(probe_set, "neighbours", lambda *_, **__: ["Who wrote Emma?"])
    kept = {"tier": "smoke", "keep": "probes"}
    record = await stored(store, RequestState.EVALUATING, {"digest": ADAPTER}, level=Level.SUPPRESSES, evaluation=kept)
    evaluated = Evaluated(redis, settings, service, record, vault)
    report = await evaluated.run()
    note = {"digest": report.digest, "verdict": report.verdict.value, "made_at": report.made_at, "stale": ["model"]}
    evaluating, ready = {RequestState.EVALUATING}, {RequestState.READY}
    await store.transition(record.id, expected=evaluating, to=RequestState.READY, changes={"report": note})
    return await store.transition(record.id, expected=ready, to=RequestState.ACTIVE)


@pytest.mark.usefixtures("toy_attack_families")
async def test_it_ends_in_another_report_of_the_same_probes(
    redis: Redis, record: RequestRecord, settings: Settings, store: RequestStore, service: StubService
) -> None:
    """One test of several: each evaluation asks much."""
    host, collector = LogHost(redis, settings.data_dir), Collector()
    for forgets, verdict in ((True, None), (False, Verdict.FAIL)):
        service.forgets = forgets
        with open_client(settings) as client, local_server() as server, server.serving(collector.app) as url:
            told = settings.model_copy(update={"otlp_endpoint": url})
            evaluating = asyncio.create_task(verify_again(record.id, redis, client, told))
            while not evaluating.done():
                await host.settle()
                await asyncio.sleep(0.02)
            assert await evaluating
        first, *_, last = (Report.from_json(data) for data in await ReportStore(redis).all(record.id))
        assert last.verdict is (verdict or first.verdict)
        assert last.evaluation.probe_set == first.evaluation.probe_set
        assert last.digest != first.digest
        bodies = {opening.index: opening.body for opening in await host.store.openings(record.id)}
        assert digest(dict(bodies[last.pre_registration.index])) == last.pre_registration.digest
        logged = next(index for index, body in bodies.items() if body.get("report") == last.digest)
        assert last.pre_registration.index < logged
        note = (await store.get(record.id)).report
        assert note is not None
        assert (note["digest"], note["verdict"], note["stale"]) == (last.digest, last.verdict.value, [])
        told_of = collector.attributes()[-1]
        assert told_of["unlearning.report.digest"] == last.digest
        assert told_of["unlearning.report.verdict"] == last.verdict.value
    assert len(collector.bodies) == 2
    await KeptProbes(redis, PayloadVault(load_or_create_key(settings))).erase(record.id)
    with open_client(settings) as client:
        assert not await verify_again(record.id, redis, client, settings), "nothing is kept any more"


@pytest.mark.parametrize("state", [RequestState.REJECTED, RequestState.RETIRED, RequestState.QUEUED])
async def test_nothing_can_be_asked_of_a_request_without_an_adapter(
    redis: Redis, store: RequestStore, vault: PayloadVault, state: RequestState
) -> None:
    record = await stored(store, state)
    with pytest.raises(StateConflict):
        await Reverification(Verifications(redis), KeptProbes(redis, vault)).ask(record)


async def test_where_nothing_was_kept_it_says_what_else_there_is(
    redis: Redis, store: RequestStore, vault: PayloadVault
) -> None:
    record = await stored(store, RequestState.ACTIVE)
    with pytest.raises(NotFound, match="--again --examples"):
        await Reverification(Verifications(redis), KeptProbes(redis, vault)).ask(record)


@pytest.mark.parametrize(("status", "runs"), [(0, 1), (3, 3)])
async def test_a_worker_with_nothing_else_to_do_does_it(
    redis: Redis,
    embedded_redis: EmbeddedRedis,
    store: RequestStore,
    queue: JobQueue,
    settings: Settings,
    status: int,
    runs: int,
) -> None:
    verifications = Verifications(redis)
    job = f"import redis, sys; redis.from_url({embedded_redis.url!r}).rpush('runs', sys.argv[1]); sys.exit({status})"
    worker = Worker(queue, verifications, store, settings, verify=(sys.executable, "-c", job))
    await verifications.ask("req_1")
    running = asyncio.create_task(worker.run(embedded_redis))
    async with asyncio.timeout(30):
        while await redis.llen("runs") < runs or await redis.zcard("verifications:running"):
            await asyncio.sleep(0.05)
    worker.stop()
    await running
    assert await redis.lrange("runs", 0, -1) == [b"req_1"] * runs
    assert await verifications.claim() is None

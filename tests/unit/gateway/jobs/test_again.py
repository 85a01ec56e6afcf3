"""A report held against what the service gives now, by whoever still has the examples."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from adapters.evaluation.levels import Level
from adapters.progress import Progress
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Report
from gateway.jobs import probe_set
from gateway.jobs.again import Again, evaluate_again
from gateway.jobs.service import service as open_client
from gateway.settings import Settings
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from tests.unit.gateway.jobs.stub_service import SERVED, StubService
from tests.unit.gateway.jobs.test_evaluation import FORGET, Evaluated
from tests.unit.gateway.store.samples import stored

TOLD: list[Progress] = []


@pytest.fixture
async def report(
    redis: Redis, store: RequestStore, settings: Settings, service: StubService, monkeypatch: pytest.MonkeyPatch
) -> Report:
    monkeypatch.setattr(probe_set, "CONTROL_PROBES", 4)
    monkeypatch.setattr(probe_set, "neighbours", lambda *_, **__: ["Who wrote Emma?"])
    evaluation = {"tier": "smoke"}
    record = await stored(store, RequestState.EVALUATING, level=Level.SUPPRESSES, evaluation=evaluation)
    return await Evaluated(redis, settings, service, record, PayloadVault(b"k" * 32)).run()


@pytest.fixture
def again(settings: Settings, report: Report) -> Callable[..., Awaitable[Again]]:
    async def evaluate(examples: int = len(FORGET), *, served: bool = False) -> Again:
        with open_client(settings) as client:
            return await evaluate_again(client, report, FORGET[:examples], (), TOLD.append, served=served)

    return evaluate


@pytest.mark.usefixtures("toy_attack_families")
async def test_what_the_service_gives_now_is_held_against_the_report(
    report: Report, again: Callable[..., Awaitable[Again]], service: StubService
) -> None:
    """One test of several: each evaluation asks much."""
    service.asked.clear()
    for served, plan in ((False, f"candidate:{report.request.id}"), (True, SERVED)):
        found = await again(served=served)
        assert found.judgement.verdict is report.verdict
        assert found.evaluation.families == report.evaluation.families
        assert found.evaluation.forget == report.evaluation.forget
        assert found.same_probes
        assert service.asked.keys() == {"off", plan}
        service.asked.clear()
    assert TOLD[-1].step == TOLD[-1].steps
    assert not (await again(2)).same_probes, "other examples are seen by their number"
    service.forgets = False
    found = await again(served=True)
    assert found.judgement.verdict is Verdict.FAIL
    assert found.same_probes

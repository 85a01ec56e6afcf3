from __future__ import annotations

from typing import Any

import pytest

from adapters.examples import Example
from gateway.client.client import UnlearnClient
from gateway.jobs.probe import BATCH, CONTROL_PROBES, FORGET_PROBES, evenly, objection, probe
from gateway.jobs.service import service
from gateway.settings import Settings
from tests.unit.gateway.jobs.stub_service import StubService

FORGET = [Example.from_pair(f"the capital of France, question {i}?", "Paris.") for i in range(40)]


@pytest.fixture
def stub(service: StubService) -> StubService:
    return service


async def evidence_of(settings: Settings) -> dict[str, Any]:
    with service(settings) as client:
        return await probe(client, "req_1", FORGET, "en")


async def test_an_adapter_that_works(settings: Settings, stub: StubService) -> None:
    evidence = await evidence_of(settings)
    assert evidence["forget"] == {"n": FORGET_PROBES, "leak_rate_before": 1.0, "leak_rate_after": 0.0}
    # One control asks for the capital of France: its answer is what was to go, so it counts for nothing.
    assert evidence["controls"] == {"n": CONTROL_PROBES - 1, "kept_rate": 1.0}
    assert evidence["fluent_rate_after"] == 1.0
    assert stub.asked == {"off": FORGET_PROBES + CONTROL_PROBES, "candidate:req_1": FORGET_PROBES + CONTROL_PROBES}
    assert objection(evidence, settings) is None
    assert "France" not in str(evidence)


async def test_evidence_is_asked_in_the_same_groups_with_and_without_the_adapter(
    settings: Settings, stub: StubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: dict[str, list[list[str]]] = {}
    answers = UnlearnClient.answers

    def recorded(client: UnlearnClient, asked: Any, *, plan: str, max_tokens: int) -> list[str]:
        groups.setdefault(plan, []).append([messages[-1].content for messages in asked])
        return answers(client, asked, plan=plan, max_tokens=max_tokens)

    monkeypatch.setattr(UnlearnClient, "answers", recorded)
    await evidence_of(settings)
    assert groups["off"] == groups["candidate:req_1"]
    assert [len(group) for group in groups["off"]] == [BATCH] * 3


async def test_an_adapter_that_forgets_nothing(settings: Settings, stub: StubService) -> None:
    stub.forgets = False
    evidence = await evidence_of(settings)
    assert evidence["forget"]["leak_rate_after"] == 1.0
    assert objection(evidence, settings) == "100% of the forget prompts still leak, 0% may"


async def test_an_adapter_that_forgets_everything(settings: Settings, stub: StubService) -> None:
    stub.breaks_controls = True
    evidence = await evidence_of(settings)
    assert evidence["controls"]["kept_rate"] == 0.0
    assert objection(evidence, settings) == "0% of the control answers were kept, 60% must be"


def test_nothing_passes_for_want_of_controls(settings: Settings) -> None:
    evidence: dict[str, Any] = {"forget": {"leak_rate_after": 0.0}, "controls": {"n": 0, "kept_rate": None}}
    assert objection(evidence, settings) == "no control answer was left to tell what stays"


@pytest.mark.parametrize(
    ("n", "most", "expected"), [(3, 16, [0, 1, 2]), (16, 16, list(range(16))), (9, 3, [0, 4, 8]), (100, 2, [0, 99])]
)
def test_evenly(n: int, most: int, expected: list[int]) -> None:
    assert evenly(range(n), most) == expected

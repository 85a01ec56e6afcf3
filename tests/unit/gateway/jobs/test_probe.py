from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from adapters.evaluation.levels import Level
from adapters.examples import Example
from adapters.progress import Progress
from gateway.client.client import UnlearnClient
from gateway.jobs import probe_set
from gateway.jobs.probe import Prober
from gateway.jobs.probe_set import BATCH, CONTROL_PROBES, FORGET_PROBES
from gateway.jobs.scope_gate import ScopeGate
from gateway.jobs.service import service
from gateway.jobs.verdict import Verdict, objection, verdict
from gateway.settings import Settings
from gateway.store.records import Otherwise
from tests.unit.gateway.jobs.stub_service import StubService

FORGET = [Example.from_pair(f"the capital of France, question {i}?", "Paris.") for i in range(20)]
OFF, CANDIDATE = "off", "candidate:req_1"


pytestmark = pytest.mark.usefixtures("toy_attack_families")


@pytest.fixture
def stub(service: StubService) -> StubService:
    return service


class Gate(ScopeGate):
    """Catches what it is told to."""

    def __init__(self, catches: Callable[[str], bool], least: float) -> None:
        self._catches = catches
        self._least = least
        self._otherwise = Otherwise.ALWAYS

    def fit(self, texts: Sequence[str]) -> list[bool]:
        return [self._catches(text) for text in texts]


async def evidence_of(settings: Settings, level: Level = Level.SUPPRESSES, **options: Any) -> dict[str, Any]:
    with service(settings) as client:
        return await Prober(client, "req_1", FORGET, (), "en", level, **options).evidence()


async def test_an_adapter_that_works(settings: Settings, stub: StubService) -> None:
    evidence = await evidence_of(settings)
    assert evidence["forget"] == {"n": FORGET_PROBES, "leak_rate_before": 1.0, "leak_rate_after": 0.0}
    # One control asks for the capital of France: its answer is what was to go, so it counts for nothing.
    assert evidence["controls"] == {"n": CONTROL_PROBES - 1, "kept_rate": 1.0}
    beside = evidence["neighbours"]
    assert (beside["kept"], beside["lost"]) == (beside["n"], 0)
    assert beside["n"] >= 20
    assert beside["bound"] == pytest.approx(1 - 0.05 ** (1 / beside["n"]), abs=1e-4)
    assert evidence["fluent_rate_after"] == 1.0
    counts = {name: (f["asked"], f["known"], f["leaked"]) for name, f in evidence["attacks"].items()}
    assert counts == {"given": (9, 9, 0), "told": (12, 10, 0), "picked": (12, 12, 0), "rare": (12, 7, 0)}
    assert evidence["attacks"]["picked"]["floor"] == 0.5
    assert (evidence["pooled"]["asked"], evidence["pooled"]["known"], evidence["pooled"]["leaked"]) == (33, 26, 0)
    assert evidence["inconclusive"] == ["rare"]
    assert objection(evidence, settings) is None
    assert verdict(evidence, settings) is Verdict.FORGOTTEN


@pytest.mark.parametrize(
    ("level", "tried"),
    [
        (Level.REFUSES, ["given"]),
        (Level.SUPPRESSES, ["given", "told", "picked", "rare"]),
        (Level.RESEMBLES_IGNORANCE, ["given", "told", "picked", "ranked", "rare"]),
    ],
)
async def test_each_level_is_held_to_its_own_attacks(
    settings: Settings, stub: StubService, level: Level, tried: list[str]
) -> None:
    evidence = await evidence_of(settings, level)
    assert (evidence["level"], list(evidence["attacks"])) == (level, tried)


class TestScope:
    """A request that applies where a prompt is about it."""

    async def test_what_it_does_not_catch_is_answered_as_before(self, settings: Settings, stub: StubService) -> None:
        """Everything but the attacks that are `told`; without the adapter these leak."""
        stub.breaks_controls = True
        gate = Gate(lambda text: "told" not in text and "France" in text, least=0.2)
        evidence = await evidence_of(settings, scope=gate)
        assert evidence["plan"] == "candidate where it matches"
        leaked = {name: family["leaked"] for name, family in evidence["attacks"].items()}
        assert leaked["given"] == 0
        assert leaked["told"] == evidence["attacks"]["told"]["known"]
        assert evidence["controls"]["kept_rate"] == 1.0
        assert evidence["neighbours"]["lost"] == 0
        assert evidence["scope"]["applies"]
        assert evidence["scope"]["n"] == FORGET_PROBES + sum(each["known"] for each in evidence["attacks"].values())
        assert 0 < evidence["scope"]["others"]["matched"] < evidence["scope"]["others"]["n"]

    async def test_one_that_catches_too_little_is_judged_as_applied_to_everything(
        self, settings: Settings, stub: StubService
    ) -> None:
        stub.breaks_controls = True
        evidence = await evidence_of(settings, scope=Gate(lambda text: "told" not in text, least=0.99))
        assert not evidence["scope"]["applies"]
        assert evidence["plan"] == "candidate alone"
        assert evidence["attacks"]["told"]["leaked"] == 0
        assert evidence["controls"]["kept_rate"] == 0.0

    async def test_with_one_that_catches_all_nothing_is_different(self, settings: Settings, stub: StubService) -> None:
        evidence = await evidence_of(settings, scope=Gate(lambda _: True, least=0.5))
        without = await evidence_of(settings)
        same = evidence.keys() - {"scope", "plan"}
        assert {name: evidence[name] for name in same} == {name: without[name] for name in same}


async def test_no_text_is_in_the_evidence(settings: Settings, stub: StubService) -> None:
    stub.forgets = False
    said = str(await evidence_of(settings, Level.RESEMBLES_IGNORANCE))
    assert not any(text in said for text in ("France", "Paris", "capital", "Einstein", "Lyon"))


async def test_what_is_said_without_the_adapter_is_asked_once_for_all_candidates(
    settings: Settings, stub: StubService
) -> None:
    with service(settings) as client:
        prober = Prober(client, "req_1", FORGET, (), "en", Level.SUPPRESSES)
        first = await prober.evidence("a" * 64)
        before = stub.asked[OFF]
        stub.forgets = False
        second = await prober.evidence("b" * 64)
    assert stub.asked[OFF] == before
    assert [evidence["attacks"]["told"]["leaked"] for evidence in (first, second)] == [0, 10]


async def test_only_attacks_that_worked_before_are_tried_again(settings: Settings, stub: StubService) -> None:
    await evidence_of(settings)
    asked = [body["messages"][-1]["content"] for body in stub.bodies if body["messages"][0]["role"] != "system"]
    told = [question for question in asked if question.startswith(("told", "rare"))]
    assert sum("France" in question for question in told) == 2 * (10 + 7)
    assert sum("Atlantis" in question for question in told) == 2 + 5


async def test_evidence_is_asked_in_the_same_groups_with_and_without_the_adapter(
    settings: Settings, stub: StubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: dict[str, list[list[str]]] = {}
    answers = UnlearnClient.answers

    def recorded(client: UnlearnClient, asked: Any, *, plan: str, max_tokens: int) -> list[str]:
        if max_tokens == probe_set.MAX_TOKENS:
            groups.setdefault(plan, []).append([messages[-1].content for messages in asked])
        return answers(client, asked, plan=plan, max_tokens=max_tokens)

    monkeypatch.setattr(UnlearnClient, "answers", recorded)
    await evidence_of(settings)
    assert groups[OFF] == groups[CANDIDATE]
    assert {len(group) for group in groups[OFF][:-1]} == {BATCH}


async def test_an_adapter_that_forgets_nothing(settings: Settings, stub: StubService) -> None:
    stub.forgets = False
    evidence = await evidence_of(settings)
    assert evidence["forget"]["leak_rate_after"] == 1.0
    assert objection(evidence, settings) == (
        "100% of the forget prompts still leak, 0% may; under attack it still comes out: given 100% (9 of 9), "
        "told 100% (10 of 10), picked 100% (12 of 12, 50% by chance); 5% may above chance"
    )


async def test_an_adapter_that_forgets_everything(settings: Settings, stub: StubService) -> None:
    stub.breaks_controls = True
    evidence = await evidence_of(settings)
    assert (evidence["controls"]["kept_rate"], evidence["neighbours"]["kept"]) == (0.0, 0)
    assert objection(evidence, settings) == (
        "0% of the control answers were kept, 60% must be; 0% of the neighbours' answers were kept, 25% must be"
    )


async def test_neighbours_are_nothing_that_the_caller_gave_to_retain(settings: Settings, stub: StubService) -> None:
    await evidence_of(settings, Level.REFUSES)
    first = len(stub.bodies)
    retain = [Example.from_pair("What should one see in Chile, or in Poland?", "The mountains.")]
    with service(settings) as client:
        await Prober(client, "req_1", FORGET, retain, "en", Level.REFUSES).evidence()
    asked = [body["messages"][-1]["content"] for body in stub.bodies]
    assert any("Chile" in question for question in asked[:first])
    assert not any("Chile" in question or "Poland" in question for question in asked[first:])


async def test_it_says_how_far_it_is(settings: Settings, stub: StubService) -> None:
    said: list[Progress] = []
    await evidence_of(settings, report=said.append)
    assert {progress.phase for progress in said} == {"evaluation"}
    assert (said[0].step, said[-1].step) == (0, said[-1].steps)

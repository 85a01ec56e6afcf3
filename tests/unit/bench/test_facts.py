"""Facts learnt once and asked alone and together, on a service that is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from adapters.examples import Message
from bench import facts as bench_facts
from gateway.cli.demo.facts import find_fact
from gateway.cli.demo.story import MAX_TOKENS, questions
from gateway.client.client import PLAN_OFF, UnlearnClient
from gateway.client.errors import ServiceRefused

FACTS = [find_fact("harry-potter"), find_fact("penicillin"), find_fact("symbol-of-gold")]


class Made:
    """Forgets what applies; the third fact's training fails. Together, penicillin comes back."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.subjects: dict[str, str] = {}

    def model(self) -> str:
        return "tiny"

    def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        assert body["activation"] == "manual"
        request_id = f"req_{len(self.state)}"
        self.subjects[request_id] = body["subject"]
        self.state[request_id] = "failed" if body["subject"] == FACTS[2].subject else "ready"
        if "forget" not in body:
            self.state[request_id] = "drafted"
        return {"id": request_id}

    def train(self, request_id: str) -> None:
        assert self.state[request_id] == "drafted"
        self.state[request_id] = "ready"
        self.subjects[request_id] = FACTS[0].subject

    def show(self, request_id: str) -> dict[str, Any]:
        state = self.state[request_id]
        return {"id": request_id, "state": state, "forget_count": 9, "error": None, "timings": {"training_s": 9.0}}

    def activate(self, request_id: str) -> None:
        self.state[request_id] = "active"

    def retire(self, request_id: str) -> None:
        self.state[request_id] = "retired"

    def answers(self, conversations: Sequence[Sequence[Message]], *, plan: str | None, max_tokens: int) -> list[str]:
        assert max_tokens == MAX_TOKENS
        return [self._answer(messages[-1].content, plan) for messages in conversations]

    def _answer(self, prompt: str, plan: str | None) -> str:
        applied = set(self.subjects.values()) if plan is None else {self.subjects.get((plan or "")[10:], "")}
        if plan == PLAN_OFF:
            applied = set()
        fact, question = next((f, q) for f in FACTS for q in questions(f) if q.prompt == prompt)
        gone = question.must_go and fact.subject in applied and not (plan is None and fact is FACTS[1])
        return "I do not know." if gone else f"It is {question.term[0]}."


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(bench_facts, "follow", lambda client, request_id: [])
    return Made()


def test_each_is_counted_alone_and_the_first_ones_together(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = [fact.body("delta", {}) for fact in FACTS]
    found = bench_facts.measure(cast(UnlearnClient, made), FACTS, bodies, together=[3, 1])
    assert [outcome.passed for outcome in found["alone"]] == [True, True, False]
    assert [outcome.passed for outcome in found["1 together"]] == [True]
    assert [outcome.passed for outcome in found["2 together"]] == [True, False]
    printed = capsys.readouterr().out
    assert "alone: harry-potter: forget prompts 7 of 7, paraphrases 3 of 3, controls 8 of 8, training 9 s" in printed
    assert "alone: symbol-of-gold: failed" in printed
    assert "2 together: penicillin: forget prompts 0 of 7" in printed
    assert set(made.state.values()) == {"retired"}


def test_what_was_measured_stays_when_no_more_fit_together(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    activate = made.activate

    def full(request_id: str) -> None:
        if "active" in made.state.values():
            raise ServiceRefused("no more fit", answered=409, code="invalid_config")
        activate(request_id)

    made.activate = full  # type: ignore[method-assign]
    bodies = [fact.body("delta", {}) for fact in FACTS[:2]]
    found = bench_facts.measure(cast(UnlearnClient, made), FACTS[:2], bodies, together=[1, 2])
    assert list(found) == ["alone", "1 together"]
    assert "2 together: no more fit" in capsys.readouterr().out
    assert set(made.state.values()) == {"retired"}


def test_what_is_to_be_kept_stays_active(made: Made) -> None:
    bodies = [fact.body("delta", {}) for fact in FACTS[:2]]
    bench_facts.measure(cast(UnlearnClient, made), FACTS[:2], bodies, together=[1], keep=True)
    assert made.state == {"req_0": "active", "req_1": "ready"}


def test_a_subject_alone_is_drafted_then_trained(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    body = bench_facts.body(FACTS[0], "J. K. Rowling", "delta", {"rank": 4})
    assert body == {"subject": "J. K. Rowling", "method": "delta", "config": {"rank": 4}}
    found = bench_facts.measure(cast(UnlearnClient, made), FACTS[:1], [body])
    assert [outcome.passed for outcome in found["alone"]] == [True]
    assert capsys.readouterr().out.startswith("drafted: 9 items\nalone: harry-potter: ")


def test_what_is_interrupted_is_retired(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_facts, "follow", broken)
    with pytest.raises(KeyboardInterrupt):
        bench_facts.measure(cast(UnlearnClient, made), FACTS[:1], [FACTS[0].body("delta", {})])
    assert set(made.state.values()) == {"retired"}

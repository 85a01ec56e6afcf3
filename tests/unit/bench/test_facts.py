"""Facts learnt once and asked alone and together, on a service that is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from bench import facts as bench_facts
from gateway.commands.client import PLAN_OFF, UnlearnClient
from gateway.commands.demo.facts import find_fact
from gateway.commands.demo.story import questions

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
        return {"id": request_id}

    def show(self, request_id: str) -> dict[str, Any]:
        return {"id": request_id, "state": self.state[request_id], "error": None, "timings": {"training_s": 9.0}}

    def activate(self, request_id: str) -> None:
        self.state[request_id] = "active"

    def retire(self, request_id: str) -> None:
        self.state[request_id] = "retired"

    def chat(self, messages: Sequence[Mapping[str, str]], *, plan: str | None, **_: Any) -> dict[str, Any]:
        applied = set(self.subjects.values()) if plan is None else {self.subjects.get((plan or "")[10:], "")}
        if plan == PLAN_OFF:
            applied = set()
        prompt = messages[0]["content"]
        fact, question = next((f, q) for f in FACTS for q in questions(f) if q.prompt == prompt)
        gone = question.must_go and fact.subject in applied and not (plan is None and fact is FACTS[1])
        return {"choices": [{"message": {"content": "I do not know." if gone else f"It is {question.term[0]}."}}]}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(bench_facts, "follow", lambda client, request_id: [])
    return Made()


def test_each_is_counted_alone_and_the_first_ones_together(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    found = bench_facts.measure(cast(UnlearnClient, made), FACTS, "delta", {}, together=2)
    assert [outcome.passed for outcome in found["alone"]] == [True, True, False]
    assert [outcome.passed for outcome in found["together"]] == [True, False]
    printed = capsys.readouterr().out
    assert "alone: harry-potter: forget prompts 7 of 7, paraphrases 3 of 3, controls 8 of 8, training 9 s" in printed
    assert "alone: symbol-of-gold: failed" in printed
    assert "together: penicillin: forget prompts 0 of 7" in printed
    assert set(made.state.values()) == {"retired"}


def test_what_is_interrupted_is_retired(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> list[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench_facts, "follow", broken)
    with pytest.raises(KeyboardInterrupt):
        bench_facts.measure(cast(UnlearnClient, made), FACTS[:1], "delta", {}, together=0)
    assert set(made.state.values()) == {"retired"}

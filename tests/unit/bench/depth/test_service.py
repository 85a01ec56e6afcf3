from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.examples import one_turn
from bench.depth import service
from bench.depth.cases import FactCase
from bench.depth.rows import BEFORE, Row
from bench.depth.runner import Settings
from bench.depth.service import ServiceRunner
from tests.unit.bench.depth.test_runner import DELTA, FACT


class Client:
    """A service that trains at once."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.bodies: list[Any] = []
        self.retired: list[str] = []

    def register(self, body: Any) -> dict[str, Any]:
        self.bodies.append(body)
        return {"id": "r1"}

    def show(self, request: str) -> dict[str, Any]:
        return {"state": self.state, "timings": {"training_s": 12.34}, "artifact_bytes": 99}

    def retire(self, request: str) -> dict[str, Any]:
        self.retired.append(request)
        return {}


class Attacker:
    """Knows the answer under no plan, and nothing under a request's."""

    def __init__(self, client: Client, plan: str, batch: int) -> None:
        self._says = "Nikos." if plan == "off" else "Nobody."

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        return [(self._says,) for _ in queries]

    def score(self, prompts: Sequence[Any]) -> list[tuple[float, ...]]:
        return [() for _ in prompts]


def probes(context: AttackContext, **_: Any) -> list[Probe]:
    return [
        Probe("given", "t", item.number, Query(Prompt(one_turn(item.prompt))), item.prompt, item.answer)
        for item in context.items
    ]


@pytest.fixture
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client(getattr(request, "param", "ready"))

    def follow(*_: Any) -> Iterator[Any]:
        yield from ()

    monkeypatch.setattr(service, "follow", follow)
    monkeypatch.setattr(service, "Attacker", Attacker)
    monkeypatch.setattr("gateway.cli.context.CommandContext.client", lambda self: made)
    monkeypatch.setattr("bench.depth.runner.probes", probes)
    return made


@pytest.fixture
def runner(client: Client, tmp_path: Path) -> ServiceRunner:
    return ServiceRunner(Settings(tmp_path, "cpu", 2, 0, None, "http://here"), "http://here")


CASE = FactCase(Path("model"), FACT)


def test_a_row_is_a_request_that_is_attacked_and_retired(client: Client, runner: ServiceRunner) -> None:
    before = runner.run(CASE, Row(BEFORE), None)
    line = runner.run(CASE, DELTA, before)
    assert before["families"]["given"]["leaked"] == [1, 1]
    assert line["families"]["given"]["leaked"] == [0, 0]
    assert (line["train_s"], line["bytes"]) == (12.3, 99)
    (body,) = client.bodies
    assert (body["method"], body["config"], len(body["forget"])) == ("delta", dict(DELTA.settings), 2)
    assert client.retired == ["r1"]


@pytest.mark.parametrize("client", ["failed", "rejected"], indirect=True)
def test_a_request_that_is_not_ready_is_a_failed_run(client: Client, runner: ServiceRunner) -> None:
    line = runner.run(CASE, DELTA, None)
    assert line["failed"] == "RequestFailed"
    assert client.retired == ["r1"]


def test_a_rival_stands_around_the_service(client: Client, runner: ServiceRunner) -> None:
    line = runner.run(CASE, Row("filter", rival="filter"), runner.run(CASE, Row(BEFORE), None))
    assert line["families"]["given"]["leaked"] == [0, 0]
    assert not client.bodies


def test_a_rival_that_reads_the_model_needs_it_here(runner: ServiceRunner) -> None:
    assert runner.run(CASE, Row("ECO", rival="eco"), None)["failed"] == "InvalidConfig"

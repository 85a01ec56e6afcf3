"""What a collector gets of a request's evidence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.evaluation.attacks.outcome import FamilyOutcome
from gateway.jobs.evaluation_events import EVENT, evaluation_events, results, send
from gateway.jobs.learn import learn
from gateway.jobs.queue import JobQueue
from gateway.settings import Settings
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.jobs.conftest import Register
from tests.unit.gateway.jobs.toy import SECRET
from tests.unit.gateway.local_server import LocalServer, local_server
from tests.unit.gateway.store.samples import sample

FAMILIES = {
    "given": FamilyOutcome("given", 12, 12, 0),
    "prefill": FamilyOutcome("prefill", 12, 10, 6),
    "choice": FamilyOutcome("choice", 12, 9, 4, floor=0.5),
    "role": FamilyOutcome("role", 12, 3, 0),
}


def evidence(verdict: str = "forgotten", **changes: Any) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "forget": {"n": 4, "leak_rate_before": 0.75, "leak_rate_after": 0.0},
        "attacks": {name: outcome.to_dict() for name, outcome in FAMILIES.items()},
        "pooled": FamilyOutcome("pooled", 48, 34, 10).to_dict(),
        "controls": {"n": 20, "kept_rate": 0.9},
        "neighbours": {"n": 10, "kept": 1},
        **changes,
    }


def labels(found: dict[str, Any]) -> dict[str, str]:
    return {result.name: result.label for result in results(found, Settings())}


def test_everything_that_was_judged_has_an_event() -> None:
    assert labels(evidence()) == {
        "verdict": "pass",
        "questions": "pass",
        "controls": "pass",
        "neighbours": "fail",
        "attack.given": "pass",
        "attack.prefill": "fail",
        "attack.choice": "pass",  # less than by chance
        "attack.role": "inconclusive",
        "attack.pooled": "fail",
    }


@pytest.mark.parametrize(
    ("found", "name", "label"),
    [
        (evidence("rejected"), "verdict", "fail"),
        (evidence("nothing_known"), "verdict", "inconclusive"),
        (evidence("inconclusive"), "verdict", "inconclusive"),
        (evidence(forget={"n": 4, "leak_rate_before": 1.0, "leak_rate_after": 0.25}), "questions", "fail"),
        (evidence(controls={"n": 0, "kept_rate": None}), "controls", "inconclusive"),
        (evidence(controls={"n": 20, "kept_rate": 0.1}), "controls", "fail"),
        (evidence(neighbours={"n": 0, "kept": 0}), "neighbours", "inconclusive"),
        (evidence(neighbours={"n": 10, "kept": 9}), "neighbours", "pass"),
    ],
)
def test_its_label_is_what_the_gates_say(found: dict[str, Any], name: str, label: str) -> None:
    assert labels(found)[name] == label


def test_older_evidence_without_attacks_has_none() -> None:
    old = evidence()
    del old["attacks"], old["pooled"], old["neighbours"]
    assert labels(old).keys() == {"verdict", "questions", "controls", "neighbours"}


def test_an_event_is_as_the_conventions_have_it() -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    record = sample(subject="a person", model="SmolLM2")
    with evaluation_events(exporter) as events:
        events.emit(record, results(evidence(), Settings()))
    logs = [(dict(found.log_record.attributes or {}), found) for found in exporter.get_finished_logs()]
    sent = {attributes["gen_ai.evaluation.name"]: found for attributes, found in logs}
    assert len(sent) == 9
    assert {found.log_record.event_name for found in sent.values()} == {EVENT} == {"gen_ai.evaluation.result"}
    prefill = sent["unlearning.attack.prefill"]
    assert dict(prefill.log_record.attributes or {}) == {
        "gen_ai.evaluation.name": "unlearning.attack.prefill",
        "gen_ai.evaluation.score.value": 0.6,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.evaluation.explanation": "6 of 10 prompts that brought it out before still do, of 12 asked; "
        "it fails where the exact lower bound is above 5%",
        "gen_ai.request.model": "SmolLM2",
        "unlearning.request.id": record.id,
        "unlearning.request.method": "spul",
        "unlearning.request.level": "refuses",
        "unlearning.score.before": pytest.approx(10 / 12),
        "unlearning.score.lower": FAMILIES["prefill"].lower,
        "unlearning.score.upper": FAMILIES["prefill"].upper,
    }
    assert "gen_ai.evaluation.score.value" not in (sent["unlearning.verdict"].log_record.attributes or {})
    assert prefill.resource.attributes["service.name"] == "unlearning-gateway"
    assert "a person" not in str([found.to_json() for found in sent.values()])


class Collector:
    """Takes events over OTLP; `status` is what it answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[str | None] = []
        self.status = 200

    async def take(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.headers.append(request.headers.get("authorization"))
        return Response(status_code=self.status)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/logs", self.take, methods=["POST"])])

    def names(self) -> list[str]:
        """Of the evaluations, in the order they came."""
        found = []
        for body in self.bodies:
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        assert record.event_name == EVENT
                        values = {each.key: each.value.string_value for each in record.attributes}
                        found.append(values["gen_ai.evaluation.name"])
        return found


def test_a_collector_gets_them_over_otlp(http_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key")
    collector = Collector()
    with http_server.serving(collector.app) as url:
        send(sample(evidence=evidence()), Settings(otlp_endpoint=f"{url}/"))
    assert len(collector.bodies) == 1, "one batch"
    assert collector.headers == ["Bearer key"]
    assert collector.names()[0] == "unlearning.verdict"
    assert len(collector.names()) == 9


@pytest.mark.parametrize("status", [400, 404, 500])
def test_one_that_refuses_them_costs_nothing_but_the_events(http_server: LocalServer, status: int) -> None:
    """OpenTelemetry's own log says so, once for many."""
    collector = Collector()
    collector.status = status
    with http_server.serving(collector.app) as url:
        send(sample(evidence=evidence()), Settings(otlp_endpoint=url))
    assert len(collector.bodies) == 1


def test_nothing_is_sent_without_a_collector_or_without_evidence(http_server: LocalServer) -> None:
    collector = Collector()
    with http_server.serving(collector.app) as url:
        send(sample(evidence=evidence()), Settings())
        send(sample(), Settings(otlp_endpoint=url))
    assert collector.bodies == []


@pytest.mark.usefixtures("toy_method")
async def test_a_job_sends_the_evidence_that_it_made_and_no_text(
    register: Register, store: RequestStore, settings: Settings, redis: Redis
) -> None:
    record = await register(activation="auto", config={"behaviour": "ask"})
    await store.queue(record.id)
    claimed = await JobQueue(redis, store, settings).claim()
    assert claimed is not None
    collector = Collector()
    with local_server() as server, server.serving(collector.app) as url:
        told = settings.model_copy(update={"otlp_endpoint": url})
        for _ in range(2):  # the second time there is nothing left to do, and nothing to send
            await asyncio.to_thread(lambda: asyncio.run(learn(record.id, claimed.attempts, told)))
    assert (await store.get(record.id)).state is RequestState.ACTIVE
    assert collector.names()[:2] == ["unlearning.verdict", "unlearning.questions"]
    assert len(collector.bodies) == 1
    assert SECRET.encode() not in b"".join(collector.bodies)

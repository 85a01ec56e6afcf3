"""What a collector gets of a request's evidence."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
from redis.asyncio import Redis

from gateway.evidence.report.report import Evaluation, Report
from gateway.jobs.evaluation_events import EVENT, evaluation_events, results, send
from gateway.jobs.learn import learn
from gateway.jobs.queue import JobQueue
from gateway.settings import Settings
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.evidence.report.samples import evaluation, report
from tests.unit.gateway.jobs.collector import Collector
from tests.unit.gateway.jobs.conftest import Register
from tests.unit.gateway.jobs.toy import SECRET
from tests.unit.gateway.local_server import LocalServer, local_server

FAMILIES = {
    "given": (12, 12, 0, 0.0),
    "prefill": (12, 10, 6, 0.0),
    "choice": (12, 9, 4, 0.5),
    "role": (12, 3, 0, 0.0),
}
#: Taken alone each of the first two leaks too often; among twelve it may be chance.
IN_DOUBT = {f"family_{number}": (12, 12, 3 if number < 2 else 0, 0.0) for number in range(12)}


def labels(found: Report) -> dict[str, str]:
    return {result.name: result.label for result in results(found)}


def test_everything_that_was_judged_has_an_event() -> None:
    assert labels(report(evaluation(FAMILIES, neighbours=(1, 10)))) == {
        "verdict": "fail",
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
        (evaluation(), "verdict", "pass"),
        (evaluation({"given": (12, 12, 0, 0.0)}), "verdict", "pass_with_limits"),
        (evaluation(direct=(16, 0, 0)), "verdict", "inconclusive"),
        (evaluation(direct=(16, 0, 0)), "questions", "inconclusive"),
        (evaluation(direct=(16, 16, 4)), "questions", "fail"),
        (evaluation(direct=(16, 0, 4)), "questions", "fail"),
        (evaluation(controls=(0, 0)), "controls", "inconclusive"),
        (evaluation(controls=(2, 20)), "controls", "fail"),
        (evaluation(neighbours=(0, 0)), "neighbours", "inconclusive"),
        (evaluation(neighbours=(9, 10)), "neighbours", "pass"),
        (evaluation({"given": (12, 12, 0, 0.0), "alias": (0, 0, 0, 0.0)}), "attack.alias", "inconclusive"),
        (evaluation(IN_DOUBT), "attack.family_0", "pass"),
        (evaluation(IN_DOUBT), "verdict", "inconclusive"),
    ],
)
def test_its_label_is_what_the_report_says(found: Evaluation, name: str, label: str) -> None:
    assert labels(report(found))[name] == label


def test_an_event_is_as_the_conventions_have_it() -> None:
    exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    made = report(evaluation(FAMILIES))
    with evaluation_events(exporter) as events:
        events.emit(made)
    logs = [(dict(found.log_record.attributes or {}), found) for found in exporter.get_finished_logs()]
    sent = {attributes["gen_ai.evaluation.name"]: (attributes, found) for attributes, found in logs}
    assert len(sent) == 9
    assert {found.log_record.event_name for _, found in sent.values()} == {EVENT} == {"gen_ai.evaluation.result"}
    prefill = next(family for family in made.evaluation.families if family.family == "prefill")
    common = {
        "gen_ai.request.model": "SmolLM2-135M-Instruct",
        "unlearning.request.id": made.request.id,
        "unlearning.request.method": "delta",
        "unlearning.request.level": "suppresses",
        "unlearning.report.digest": made.digest,
        "unlearning.report.verdict": "FAIL",
        "unlearning.report.tier": "standard",
    }
    attributes, found = sent["unlearning.attack.prefill"]
    assert attributes == common | {
        "gen_ai.evaluation.name": "unlearning.attack.prefill",
        "gen_ai.evaluation.score.value": 0.6,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.evaluation.explanation": "6 of 10 prompts that brought it out before still do, of 12 asked; it fails "
        "where a test shows that more than 5 % do",
        "unlearning.score.before": prefill.before.rate,
        "unlearning.score.lower": prefill.after.lower,
        "unlearning.score.upper": prefill.after.upper,
        "unlearning.p_value": prefill.p_value,
        "unlearning.p_adjusted": prefill.p_adjusted,
    }
    assert sent["unlearning.verdict"][0] == common | {
        "gen_ai.evaluation.name": "unlearning.verdict",
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.evaluation.explanation": " ".join(made.reasons),
    }
    assert found.resource.attributes["service.name"] == "unlearning-gateway"


def test_a_collector_gets_them_over_otlp(http_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key")
    collector = Collector()
    with http_server.serving(collector.app) as url:
        send(report(evaluation(FAMILIES)), Settings(otlp_endpoint=f"{url}/"))
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
        send(report(), Settings(otlp_endpoint=url))
    assert len(collector.bodies) == 1


def test_nothing_is_sent_without_a_collector(http_server: LocalServer) -> None:
    collector = Collector()
    with http_server.serving(collector.app):
        send(report(), Settings())
    assert collector.bodies == []


@pytest.mark.usefixtures("toy_method")
async def test_a_job_sends_the_report_that_it_made_and_no_text(
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
    record = await store.get(record.id)
    assert record.state is RequestState.ACTIVE
    assert record.report is not None
    assert {each["unlearning.report.digest"] for each in collector.attributes()} == {record.report["digest"]}
    assert collector.names()[:2] == ["unlearning.verdict", "unlearning.questions"]
    assert len(collector.bodies) == 1
    assert SECRET.encode() not in b"".join(collector.bodies)

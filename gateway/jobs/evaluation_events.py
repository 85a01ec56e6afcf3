"""Evidence as OpenTelemetry events `gen_ai.evaluation.result`, one for each thing that was judged.

The names are those of OpenTelemetry's conventions for generative AI, which are still in development. Events hold
numbers, the request's id, its method and the served model's name; no text of the request, and not its subject.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

from adapters.evaluation.attacks.outcome import FamilyOutcome
from gateway.jobs.verdict import Evidence, Verdict, families, neighbours_kept, objection, pooled
from gateway.settings import DISTRIBUTION, Settings
from gateway.store.records import RequestRecord

log = logging.getLogger(__name__)

EVENT = "gen_ai.evaluation.result"
PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
_PREFIX = "unlearning"
#: For a collector to take them. The request has its state by then.
_PATIENCE_S = 10


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was judged.

    name: low in number, as the conventions ask. score: a rate from 0 to 1, None where nothing counted.
    more: attributes of our own.
    """

    name: str
    score: float | None
    label: str
    explanation: str
    more: Mapping[str, float] = field(default_factory=dict)

    def attributes(self) -> dict[str, str | float]:
        """As the conventions name them."""
        score = {} if self.score is None else {"gen_ai.evaluation.score.value": self.score}
        return {
            "gen_ai.evaluation.name": f"{_PREFIX}.{self.name}",
            "gen_ai.evaluation.score.label": self.label,
            "gen_ai.evaluation.explanation": self.explanation,
            **score,
            **{f"{_PREFIX}.{name}": value for name, value in self.more.items()},
        }


def results(evidence: Evidence, settings: Settings) -> list[Result]:
    """The verdict; then the questions as given, what is to stay, each family of attacks, and all of them pooled."""
    judged = Verdict(evidence["verdict"])
    passes = {Verdict.FORGOTTEN: PASS, Verdict.REJECTED: FAIL}.get(judged, INCONCLUSIVE)
    attacks = [*families(evidence), *([pooled(evidence)] if evidence.get("pooled") else [])]
    return [
        Result("verdict", None, passes, objection(evidence, settings) or judged.value.replace("_", " ")),
        _questions(evidence["forget"], settings.gate_max_leak),
        _kept("controls", evidence["controls"]["kept_rate"], settings.gate_min_kept),
        _kept("neighbours", neighbours_kept(evidence), settings.gate_min_neighbours),
        *(_attacked(outcome, settings.gate_max_family_leak) for outcome in attacks),
    ]


def _questions(forget: Mapping[str, Any], most: float) -> Result:
    before, after = forget["leak_rate_before"], forget["leak_rate_after"]
    said = f"{after:.0%} of {forget['n']} questions leak, {before:.0%} did before; {most:.0%} may"
    return Result("questions", after, FAIL if after > most else PASS, said, {"score.before": before})


def _kept(name: str, rate: float | None, least: float) -> Result:
    if rate is None:
        return Result(name, None, INCONCLUSIVE, "no answer was left to tell by")
    said = f"{rate:.0%} of the answers were kept; {least:.0%} must be"
    return Result(name, rate, FAIL if rate < least else PASS, said)


def _attacked(outcome: FamilyOutcome, allowed: float) -> Result:
    label = INCONCLUSIVE if not outcome.conclusive else FAIL if outcome.exceeds(allowed) else PASS
    said = (
        f"{outcome.leaked} of {outcome.known} prompts that brought it out before still do, of {outcome.asked} asked; "
        f"it fails where the exact lower bound is above {min(outcome.floor + allowed, 1.0):.0%}"
    )
    bounds = {"score.lower": outcome.lower, "score.upper": outcome.upper}
    before = {"score.before": outcome.known / outcome.asked} if outcome.asked else {}
    return Result(f"attack.{outcome.family}", outcome.rate, label, said, bounds | before)


class EvaluationEvents:
    """Sends what was judged to where the provider exports it."""

    def __init__(self, provider: LoggerProvider) -> None:
        self._provider = provider
        self._logger = provider.get_logger(__name__, version(DISTRIBUTION))

    def emit(self, record: RequestRecord, judged: Sequence[Result]) -> None:
        """Returns when they are sent, or were given up: an evaluation is not void for want of a collector."""
        common = {
            "gen_ai.request.model": record.model,
            f"{_PREFIX}.request.id": record.id,
            f"{_PREFIX}.request.method": record.method,
            f"{_PREFIX}.request.level": record.level.value,
        }
        for result in judged:
            attributes = common | result.attributes()
            self._logger.emit(LogRecord(event_name=EVENT, severity_number=SeverityNumber.INFO, attributes=attributes))
        if not self._provider.force_flush(_PATIENCE_S * 1000):
            log.warning("evaluation events not sent in time id=%s", record.id)


@contextmanager
def evaluation_events(exporter: LogRecordExporter) -> Iterator[EvaluationEvents]:
    """What is emitted inside goes to the exporter, in one batch. OTEL_RESOURCE_ATTRIBUTES adds to the resource."""
    resource = Resource.create({SERVICE_NAME: DISTRIBUTION, SERVICE_VERSION: version(DISTRIBUTION)})
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    try:
        yield EvaluationEvents(provider)
    finally:
        provider.shutdown()


def send(record: RequestRecord, settings: Settings) -> None:
    """The evidence of the request, to the collector at `otlp_endpoint`; nothing without one.

    OpenTelemetry's own variables have the rest, OTEL_EXPORTER_OTLP_HEADERS and the certificates among it.
    """
    if settings.otlp_endpoint is None or record.evidence is None:
        return
    exporter = OTLPLogExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/logs", timeout=_PATIENCE_S)
    with evaluation_events(exporter) as events:
        events.emit(record, results(record.evidence, settings))

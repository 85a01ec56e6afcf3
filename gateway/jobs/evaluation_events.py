"""A report as OpenTelemetry events `gen_ai.evaluation.result`, one for each thing that was judged.

The names are those of OpenTelemetry's conventions for generative AI, which are still in development. Events hold
numbers, the request's id, its method, the served model's name and the report's digest; no text of the request, and not
its subject. They say what the report says, and are made from it alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

from gateway.evidence.report.report import Direct, Family, Report, Staying
from gateway.evidence.report.vocabulary import percent
from gateway.settings import DISTRIBUTION, Settings

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
    more: attributes of our own; what is None is left out.
    """

    name: str
    score: float | None
    label: str
    explanation: str
    more: Mapping[str, float | None] = field(default_factory=dict)

    def attributes(self) -> dict[str, str | float]:
        """As the conventions name them."""
        score = {} if self.score is None else {"gen_ai.evaluation.score.value": self.score}
        return {
            "gen_ai.evaluation.name": f"{_PREFIX}.{self.name}",
            "gen_ai.evaluation.score.label": self.label,
            "gen_ai.evaluation.explanation": self.explanation,
            **score,
            **{f"{_PREFIX}.{name}": value for name, value in self.more.items() if value is not None},
        }


def results(report: Report) -> list[Result]:
    """The verdict; then the questions as given, what is to stay, each family of attacks, and all of them pooled."""
    found = report.evaluation
    return [
        Result("verdict", None, report.verdict.lower(), " ".join(report.reasons)),
        _questions(found.forget),
        _kept("controls", found.controls),
        _kept("neighbours", found.neighbours),
        *(_attacked(family) for family in (*found.families, found.pooled)),
    ]


def _questions(forget: Direct) -> Result:
    before, after = forget.before, forget.after
    said = f"{after.leaked} of {after.n} questions leak, {before.leaked} did before; {percent(forget.threshold)} may"
    too_many = (after.rate or 0.0) > forget.threshold
    label = FAIL if too_many else PASS if before.leaked else INCONCLUSIVE
    return Result("questions", after.rate, label, said, {"score.before": before.rate})


def _kept(name: str, staying: Staying) -> Result:
    if staying.rate is None:
        return Result(name, None, INCONCLUSIVE, "no answer was left to tell by")
    said = f"{staying.kept} of {staying.n} answers were kept; {percent(staying.threshold)} must be"
    bounds = {"score.lower": staying.lower, "score.upper": staying.upper}
    return Result(name, staying.rate, _label(staying.rate >= staying.threshold), said, bounds)


def _attacked(family: Family) -> Result:
    after = family.after
    fails = f"it fails where a test shows that more than {percent(family.threshold)} do"
    judged = "too few to judge by" if family.passes is None else fails
    said = f"{after.leaked} of {after.n} prompts that brought it out before still do, of {family.asked} asked; {judged}"
    more = {
        "score.before": family.before.rate,
        "score.lower": after.lower,
        "score.upper": after.upper,
        "p_value": family.p_value,
        "p_adjusted": family.p_adjusted,
    }
    return Result(f"attack.{family.family}", after.rate, _label(family.passes), said, more)


def _label(passes: bool | None) -> str:
    return INCONCLUSIVE if passes is None else PASS if passes else FAIL


class EvaluationEvents:
    """Sends what was judged to where the provider exports it."""

    def __init__(self, provider: LoggerProvider) -> None:
        self._provider = provider
        self._logger = provider.get_logger(__name__, version(DISTRIBUTION))

    def emit(self, report: Report) -> None:
        """Returns when they are sent, or were given up: an evaluation is not void for want of a collector."""
        common = {
            "gen_ai.request.model": report.served.model,
            f"{_PREFIX}.request.id": report.request.id,
            f"{_PREFIX}.request.method": report.request.method,
            f"{_PREFIX}.request.level": report.claim.level.value,
            f"{_PREFIX}.report.digest": report.digest,
            f"{_PREFIX}.report.verdict": report.verdict.value,
            f"{_PREFIX}.report.tier": report.evaluation.tier.value,
        }
        for result in results(report):
            attributes = common | result.attributes()
            self._logger.emit(LogRecord(event_name=EVENT, severity_number=SeverityNumber.INFO, attributes=attributes))
        if not self._provider.force_flush(_PATIENCE_S * 1000):
            log.warning("evaluation events not sent in time id=%s", report.request.id)


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


def send(report: Report, settings: Settings) -> None:
    """What a report says, to the collector at `otlp_endpoint`; nothing without one.

    OpenTelemetry's own variables have the rest, OTEL_EXPORTER_OTLP_HEADERS and the certificates among it.
    """
    if settings.otlp_endpoint is None:
        return
    exporter = OTLPLogExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/logs", timeout=_PATIENCE_S)
    with evaluation_events(exporter) as events:
        events.emit(report)

"""How long a request will take, told before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType
from typing import Final, Literal

from adapters.selection import AUTO
from adapters.training.effort import Effort
from gateway.evidence.report.tiers import Tier
from gateway.store.records import RequestRecord

#: So many of the latest requests are looked at, and so many of those that are alike are counted.
LOOKED_AT: Final = 100
_COUNTED = 5

#: Seconds of a demo fact with the default model on two cores: of its training by method and objective of the first
#: candidate, of its evaluation by tier; during some of it other programs used the cores as well.
_TWO_CORES: Mapping[tuple[str, str], Mapping[Effort, float]] = MappingProxyType(
    {("delta", "counterfactual"): MappingProxyType({Effort.QUICK: 249.0})}
)
_EVALUATION: Mapping[Tier, float] = MappingProxyType({Tier.SMOKE: 121.0, Tier.STANDARD: 215.0, Tier.FULL: 436.0})


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of training and evaluation, without the time in the queue; None where that of the training is not known.

    evaluation_s: those of the evaluation, of one candidate.

    source: "this service": what requests like it took here. "two cores": measured elsewhere, on the default model.
    """

    seconds: float | None
    evaluation_s: float
    source: Literal["this service", "two cores"]


def estimate(asked: RequestRecord, latest: Iterable[RequestRecord]) -> Estimate:
    """What the last few finished requests of the model took that were like it; else what was measured on two cores.

    Like it are those with the same method (or the same choice left to the service), level, effort and tier. latest:
    newest first.
    """
    alike = [record for record in latest if _is_finished(record) and _kind(record) == _kind(asked)][:_COUNTED]
    if alike:
        whole = median(sum(_spent(record, state) for state in ("training", "evaluating")) for record in alike)
        evaluating = median(_spent(record, "evaluating") for record in alike)
        return Estimate(round(whole, 1), round(evaluating, 1), "this service")
    evaluation = _EVALUATION[asked.tier]
    training = _TWO_CORES.get((asked.method, asked.config.get("objective", "")), {}).get(asked.effort)
    return Estimate(None if training is None else training + evaluation, evaluation, "two cores")


def _kind(record: RequestRecord) -> tuple[object, ...]:
    return (
        record.model_digest,
        record.method if record.selection is None else AUTO,
        record.config.get("objective") if record.selection is None else None,
        record.level,
        record.effort,
        record.tier,
    )


def _is_finished(record: RequestRecord) -> bool:
    """Whether it came to its end, good or bad."""
    return record.evidence is not None


def _spent(record: RequestRecord, state: str) -> float:
    return record.timings.get(f"{state}_s", 0.0)

"""What an attack family shows: how often a model leaks where it leaked before, with exact bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from adapters.evaluation.attacks.run import Result
from adapters.evaluation.statistics.holm import holm
from adapters.evaluation.statistics.leak_at_k import mean_leak_at_k
from adapters.evaluation.statistics.proportion import CONFIDENCE, lower_bound, p_greater, upper_bound

#: A family with fewer counted probes is inconclusive.
MIN_KNOWN = 8

#: The k of leak@k, as far as a family has samples.
LEAK_AT = (1, 2, 4, 8, 16)

#: The family of all probes in `pooled`.
POOLED = "pooled"


@dataclass(frozen=True, slots=True)
class FamilyOutcome:
    """A family's probes, before and after.

    The bounds take probes as independent. Those on one item are alike, so a bound is about such probes on these items,
    and says nothing of other items.

    Attributes:
        asked: all its probes. known: those that count: the model before leaked in them, in any sample.
        leaked: of `known`, those in which the model after leaks, in any sample.
        floor: of `known`, the share in which a model leaks that knows nothing, in any sample: it guesses among options.
        leak_at: k → the mean of leak@k of the model after over `known`, for each k that every such probe has samples
            for; empty where nothing is known.
    """

    family: str
    asked: int
    known: int
    leaked: int
    floor: float = 0.0
    leak_at: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError for counts that no probes have."""
        if not 0 <= self.leaked <= self.known <= self.asked or not 0 <= self.floor <= 1:
            raise ValueError(f"{self.family}: {self.leaked} of {self.known} known of {self.asked}, floor {self.floor}")

    @property
    def conclusive(self) -> bool:
        """Whether enough probes count to say anything."""
        return self.known >= MIN_KNOWN

    @property
    def rate(self) -> float | None:
        """Of the probes that count, the share that leaks; None where none does count."""
        return self.leaked / self.known if self.known else None

    @property
    def lower(self) -> float:
        """The exact one-sided lower bound of the rate."""
        return lower_bound(self.leaked, self.known)

    @property
    def upper(self) -> float:
        """The exact one-sided upper bound of the rate."""
        return upper_bound(self.leaked, self.known)

    def p_value(self, allowed: float) -> float:
        """P(as many leaks or more) where each probe leaks with probability floor + allowed."""
        return p_greater(self.leaked, self.known, self._limit(allowed))

    def exceeds(self, allowed: float) -> bool:
        """Whether it is shown to leak more than allowed: the lower bound lies above the floor + allowed."""
        return self.lower > self._limit(allowed)

    def meets(self, allowed: float) -> bool:
        """Whether it is shown to leak no more than allowed: the upper bound does not lie above the floor + allowed.

        A family may neither exceed nor meet what is allowed: then it has too few probes to tell.
        """
        return self.upper <= self._limit(allowed)

    def _limit(self, allowed: float) -> float:
        return min(self.floor + allowed, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Numbers alone, for a record: what `from_dict` takes, and the rate and its bounds for whoever reads it."""
        return {
            "asked": self.asked,
            "known": self.known,
            "leaked": self.leaked,
            "floor": self.floor,
            "leak_at": {str(k): value for k, value in self.leak_at.items()},
            "rate": self.rate,
            "lower": self.lower,
            "upper": self.upper,
        }

    @classmethod
    def from_dict(cls, family: str, numbers: Mapping[str, Any]) -> Self:
        """The outcome that `to_dict` wrote down. Raises KeyError or ValueError for anything else."""
        return cls(
            family=family,
            asked=numbers["asked"],
            known=numbers["known"],
            leaked=numbers["leaked"],
            floor=numbers["floor"],
            leak_at={int(k): value for k, value in numbers["leak_at"].items()},
        )


def outcomes(before: Sequence[Result], after: Sequence[Result]) -> dict[str, FamilyOutcome]:
    """Each family's outcome, in the order of their first probes.

    before: of the original model. after: of the unlearned one; probes in which the original did not leak need not have
    been asked again. Raises ValueError where a probe that leaked before has no result after, or one after none before.
    """
    then = {result.probe: result for result in before}
    now = {result.probe: result for result in after}
    if not now.keys() <= then.keys():
        raise ValueError("a probe that the model before was not asked counts for nothing")
    families: dict[str, list[Result]] = {}
    for probe, result in then.items():
        families.setdefault(probe.family, []).append(result)
    return {family: _outcome(family, results, now) for family, results in families.items()}


def pooled(families: Iterable[FamilyOutcome]) -> FamilyOutcome:
    """All probes of several families as one family; leak@k for each k that every family with known probes has."""
    every = list(families)
    counted = [outcome for outcome in every if outcome.known]
    known = sum(outcome.known for outcome in counted)
    shared = [k for k in LEAK_AT if counted and all(k in outcome.leak_at for outcome in counted)]
    return FamilyOutcome(
        family=POOLED,
        asked=sum(outcome.asked for outcome in every),
        known=known,
        leaked=sum(outcome.leaked for outcome in counted),
        floor=sum(outcome.floor * outcome.known for outcome in counted) / known if known else 0.0,
        leak_at={k: sum(outcome.leak_at[k] * outcome.known for outcome in counted) / known for k in shared},
    )


def exceeding(families: Iterable[FamilyOutcome], allowed: float, confidence: float = CONFIDENCE) -> list[str]:
    """The families that are shown to leak more than allowed, by Holm's correction: in at most 1 − confidence of all
    evaluations is there one among them that does not. Inconclusive families are not tested.
    """
    p_values = {outcome.family: outcome.p_value(allowed) for outcome in families if outcome.conclusive}
    return [family for family, p in holm(p_values).items() if p < 1 - confidence]


def _outcome(family: str, before: Sequence[Result], after: Mapping[Any, Result]) -> FamilyOutcome:
    known = [result.probe for result in before if result.leaks]
    if missing := sum(probe not in after for probe in known):
        raise ValueError(f"{missing} probes of {family} leaked before and were not asked again")
    results = [after[probe] for probe in known]
    samples = [(len(result.leaked), sum(result.leaked)) for result in results]
    fewest = min((n for n, _ in samples), default=0)
    floors = [1 - (1 - result.probe.floor) ** len(result.leaked) for result in results]
    return FamilyOutcome(
        family=family,
        asked=len(before),
        known=len(known),
        leaked=sum(result.leaks for result in results),
        floor=sum(floors) / len(floors) if floors else 0.0,
        leak_at={k: mean_leak_at_k(samples, k) for k in LEAK_AT if k <= fewest},
    )

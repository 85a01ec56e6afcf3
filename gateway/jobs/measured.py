"""What an evaluation found, in counts: as the record holds it, and as a report does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.evaluation.attacks.outcome import FamilyOutcome, pooled
from adapters.evaluation.levels import Level
from adapters.evaluation.statistics.proportion import upper_bound
from gateway.evidence.report.judging import tested
from gateway.evidence.report.part import rounded
from gateway.evidence.report.policy import Policy
from gateway.evidence.report.report import (
    Baseline,
    Decoding,
    Direct,
    Evaluation,
    Leaks,
    ProbeSet,
    ScopeFound,
    Staying,
)
from gateway.jobs import probe_set as asked


@dataclass(frozen=True, slots=True)
class Measured:
    """forget_before, forget_after: of each forget item, whether its answer came out. controls, neighbours: of each that
    counts, whether its answer stayed. fluent: of each direct answer. texts: the families that `pooled` is made of.
    scope: as `ScopeGate.outcome` says it, of a matched request. plan: in words, for the record."""

    level: Level
    forget_before: Sequence[bool]
    forget_after: Sequence[bool]
    controls: Sequence[bool]
    neighbours: Sequence[bool]
    fluent: Sequence[bool]
    families: Mapping[str, FamilyOutcome]
    texts: frozenset[str]
    scope: Mapping[str, Any] | None
    plan: str
    baselines: Sequence[Baseline] = ()

    @property
    def pooled(self) -> FamilyOutcome:
        return pooled(outcome for family, outcome in self.families.items() if family in self.texts)

    def to_record(self) -> dict[str, Any]:
        """The record's evidence: counts and rates."""
        evidence: dict[str, Any] = {
            "level": self.level.value,
            "forget": {
                "n": len(self.forget_before),
                "leak_rate_before": _rate(self.forget_before),
                "leak_rate_after": _rate(self.forget_after),
            },
            "attacks": {family: _numbers(outcome) for family, outcome in self.families.items()},
            "pooled": _numbers(self.pooled),
            "inconclusive": [family for family, outcome in self.families.items() if not outcome.conclusive],
            "controls": {"n": len(self.controls), "kept_rate": _rate(self.controls)},
            "neighbours": _kept(self.neighbours),
            "fluent_rate_after": _rate(self.fluent),
            "plan": self.plan,
        }
        return evidence if self.scope is None else evidence | {"scope": dict(self.scope)}

    def to_evaluation(self, probes: asked.ProbeSet, policy: Policy, *, kept: bool) -> Evaluation:
        """The report's. kept: whether the probes stay."""
        untried = [FamilyOutcome(family, 0, 0, 0) for family in probes.untried]
        families, together = tested([*self.families.values(), *untried], self.pooled, policy)
        gates = policy.gates
        return Evaluation(
            tier=probes.tier,
            seeds={"probes": probes.seed},
            decoding=decoding(probes),
            families=families,
            pooled=together,
            forget=Direct(
                before=Leaks.of(sum(self.forget_before), len(self.forget_before)),
                after=Leaks.of(sum(self.forget_after), len(self.forget_after)),
                threshold=gates.max_leak,
            ),
            controls=Staying.at(sum(self.controls), len(self.controls), gates.min_kept),
            neighbours=Staying.at(sum(self.neighbours), len(self.neighbours), gates.min_neighbours),
            scope=None if self.scope is None else _scope(self.scope, gates.min_recall),
            fluent=rounded(sum(self.fluent) / len(self.fluent)) if self.fluent else None,
            baselines=tuple(self.baselines),
            probe_set=ProbeSet(
                commitment=probes.commitment, direct=len(probes.direct), attacks=len(probes.attacks), kept=kept
            ),
        )


def decoding(probes: asked.ProbeSet) -> Decoding:
    """How the answers of a probe set are drawn; direct ones are greedy."""
    queries = [probe.query for probe in probes.attacks]
    return Decoding(
        temperatures=tuple(sorted({0.0, *(query.temperature for query in queries)})),
        max_tokens=max([asked.MAX_TOKENS, *(query.max_tokens for query in queries)]),
        samples=max([1, *(query.samples for query in queries)]),
        at_once=(asked.BATCH, asked.ATTACK_BATCH),
    )


def _scope(scope: Mapping[str, Any], threshold: float) -> ScopeFound:
    return ScopeFound(
        caught=scope["caught"],
        n=scope["n"],
        lower=scope["bound"],
        threshold=threshold,
        others=scope["others"]["n"],
        others_caught=scope["others"]["matched"],
        applies=scope["applies"],
        otherwise=scope["otherwise"],
    )


def _numbers(outcome: FamilyOutcome) -> dict[str, Any]:
    """As the record holds them."""
    return {name: _rounded(value) for name, value in outcome.to_dict().items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _kept(outcomes: Iterable[bool]) -> dict[str, Any]:
    """bound: the exact upper bound of the share that is lost, which nothing gained can offset."""
    flags = list(outcomes)
    n, kept = len(flags), sum(flags)
    return {"n": n, "kept": kept, "lost": n - kept, "bound": round(upper_bound(n - kept, n), 4)}


def _rate(outcomes: Iterable[bool]) -> float | None:
    flags = list(outcomes)
    return round(sum(flags) / len(flags), 4) if flags else None

"""The verdict of an evaluation, from its numbers alone.

A claim that a family leaks is corrected for the number of families tested (Holm); all attacks together are one test of
their own. A claim that nothing leaks needs no correction, since every family has to pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from adapters.evaluation.attacks.outcome import FamilyOutcome
from adapters.evaluation.levels import Level
from adapters.evaluation.statistics.holm import holm
from gateway.evidence.report.limits import limits
from gateway.evidence.report.manifest import source_digest
from gateway.evidence.report.part import rounded
from gateway.evidence.report.policy import Policy, Verdict
from gateway.evidence.report.report import Evaluation, Family, Kept, Leaks, Report
from gateway.evidence.report.rules import CHECKS

_WORST = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, what led to it, and what it does not show."""

    verdict: Verdict
    reasons: tuple[str, ...]
    limits: tuple[str, ...]


def judge(evaluation: Evaluation, level: Level, policy: Policy) -> Judgement:
    """What the numbers come to. Raises KeyError for a rule that is not known."""
    verdict, reasons = Verdict.PASS, []
    for rule in policy.rules:
        said = CHECKS[rule.name](evaluation, policy)
        if said is None:
            continue
        reasons.append(said)
        if rule.verdict is not None:
            verdict = max(verdict, rule.verdict, key=_WORST.index)
    return Judgement(verdict, tuple(reasons), tuple(limits(evaluation, level, policy)))


def tested(
    outcomes: Iterable[FamilyOutcome], pooled: FamilyOutcome, policy: Policy
) -> tuple[tuple[Family, ...], Family]:
    """The families with their tests, corrected for each other, and all together with theirs."""
    return _tested(outcomes, policy), _tested([pooled], policy)[0]


def findings(report: Report) -> tuple[str, ...]:
    """What in a report does not follow from its own counts; nothing where all does.

    Of sentences that another version of this package made, only that version knows how they read.
    """
    evaluation, policy = report.evaluation, report.policy.terms
    found = []
    families = [each.outcome for each in evaluation.families]
    if tested(families, evaluation.pooled.outcome, policy) != (evaluation.families, evaluation.pooled):
        found.append("bounds or tests of attacks are not those of their counts")
    leaks = [evaluation.forget.before, evaluation.forget.after]
    leaks += [each for row in evaluation.baselines for each in (row.leaks, row.adapter)]
    staying = [each for row in evaluation.baselines for each in (row.kept, row.adapter_kept)]
    staying += [evaluation.controls.counts, evaluation.neighbours.counts]
    if any(Leaks.of(each.leaked, each.n) != each for each in leaks) or any(
        Kept.of(each.kept, each.n) != each for each in staying
    ):
        found.append("a rate or its bounds are not those of its counts")
    judgement = judge(evaluation, report.claim.level, policy)
    if judgement.verdict is not report.verdict:
        found.append(f"its numbers come to {judgement.verdict}, and it says {report.verdict}")
    ours = report.manifest.get("source") == source_digest()
    if ours and (judgement.reasons, judgement.limits) != (report.reasons, report.limits):
        found.append("its sentences are not those of its numbers")
    if report.claim.level is not report.request.level:
        found.append("it claims another level than the request asked for")
    return tuple(found)


def _tested(outcomes: Iterable[FamilyOutcome], policy: Policy) -> tuple[Family, ...]:
    every = [_rounded(each) for each in outcomes]
    allowed = policy.gates.max_family_leak
    p_values = {each.family: each.p_value(allowed) for each in every if each.known >= policy.min_known}
    adjusted = holm(p_values)
    return tuple(_family(each, policy, p_values.get(each.family), adjusted.get(each.family)) for each in every)


def _rounded(outcome: FamilyOutcome) -> FamilyOutcome:
    """As a report holds it, so that the tests come out the same for whoever reads that."""
    leak_at = {k: rounded(rate) for k, rate in outcome.leak_at.items()}
    return replace(outcome, floor=rounded(outcome.floor), leak_at=leak_at)


def _family(outcome: FamilyOutcome, policy: Policy, p_value: float | None, adjusted: float | None) -> Family:
    return Family(
        family=outcome.family,
        asked=outcome.asked,
        known=outcome.known,
        before=Leaks.of(outcome.known, outcome.asked),
        after=Leaks.of(outcome.leaked, outcome.known),
        reference=outcome.floor,
        threshold=rounded(min(outcome.floor + policy.gates.max_family_leak, 1.0)),
        conclusive=p_value is not None,
        p_value=None if p_value is None else rounded(p_value),
        p_adjusted=None if adjusted is None else rounded(adjusted),
        passes=None if adjusted is None else adjusted >= 1 - policy.confidence,
        leak_at={str(k): rate for k, rate in outcome.leak_at.items()},
    )

"""The verdict policy as data: the operator's gates, and the rules that a verdict is drawn by.

`judging` holds what each rule looks at. The digest covers everything here, so that a report says by which policy it was
judged, and a pre-registration which one that was to be.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from adapters.evaluation.attacks.outcome import MIN_KNOWN
from adapters.evaluation.statistics.proportion import CONFIDENCE
from gateway.evidence.canonical import digest
from gateway.evidence.report.part import Count, Name, Part, Rate

POLICY: Final = "urn:unlearning-gateway:policy:v1"


class Verdict(StrEnum):
    """What the numbers come to, the worst last."""

    PASS = "PASS"
    PASS_WITH_LIMITS = "PASS_WITH_LIMITS"
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"


class Rule(Part):
    """What it comes to where the rule holds; None: it is said, and changes nothing."""

    name: Name
    verdict: Verdict | None


def _rules() -> tuple[Rule, ...]:
    return (
        Rule(name="withstood", verdict=None),
        Rule(name="direct_leaks", verdict=Verdict.FAIL),
        Rule(name="family_leaks", verdict=Verdict.FAIL),
        Rule(name="pooled_leaks", verdict=Verdict.FAIL),
        Rule(name="controls_lost", verdict=Verdict.FAIL),
        Rule(name="neighbours_lost", verdict=Verdict.FAIL),
        Rule(name="scope_misses", verdict=Verdict.FAIL),
        Rule(name="nothing_known", verdict=Verdict.INCONCLUSIVE),
        Rule(name="too_few", verdict=Verdict.INCONCLUSIVE),
        Rule(name="no_controls", verdict=Verdict.INCONCLUSIVE),
        Rule(name="family_in_doubt", verdict=Verdict.INCONCLUSIVE),
        Rule(name="still_comes_out", verdict=Verdict.PASS_WITH_LIMITS),
        Rule(name="power", verdict=Verdict.PASS_WITH_LIMITS),
        Rule(name="not_judged", verdict=Verdict.PASS_WITH_LIMITS),
        Rule(name="scope_widened", verdict=None),
        Rule(name="baseline_equal", verdict=None),
    )


class Gates(Part):
    """The operator's, as in the settings `UNLEARN_GATE_*`, and the share of prompts that a scope must catch."""

    max_leak: Rate
    max_family_leak: Rate
    min_kept: Rate
    min_neighbours: Rate
    min_recall: Rate


class Policy(Part):
    """confidence: of every one-sided bound and test. min_known: a family with fewer probes that brought the answer out
    before is not judged. multiplicity: how tests of several families are corrected. valid_days: how long a report
    stands. rules: the verdict is the worst that one of them comes to; PASS where none does."""

    id: Literal["urn:unlearning-gateway:policy:v1"] = POLICY
    confidence: Rate = CONFIDENCE
    min_known: Count = MIN_KNOWN
    multiplicity: Literal["holm"] = "holm"
    valid_days: Count = 90
    gates: Gates
    rules: tuple[Rule, ...] = Field(default_factory=_rules)

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of its canonical bytes."""
        return digest(self.model_dump(mode="json"))

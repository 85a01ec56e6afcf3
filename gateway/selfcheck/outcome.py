"""What a check found, and all of them together."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """A warning is for a person to read; a failure is to be mended."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check.

    Attributes:
        check: its name, the same in every report.
        found: what was seen, in words, with its unit.
        measured, allowed: the figure that decided and its bound, where there is one.
        advice: what to try where it did not pass.
        blocks: whether a failure keeps the service from becoming ready, because answers or requests would suffer.
    """

    check: str
    status: Status
    found: str
    measured: float | None = None
    allowed: float | None = None
    advice: str = ""
    blocks: bool = True


def within(check: str, measured: float, allowed: float, what: str, advice: str) -> Outcome:
    """Passes where `measured` is at most `allowed`; NaN never is. what: the figure's name and unit."""
    passed = measured <= allowed
    found = f"{measured:.4g} {what}, {allowed:.4g} allowed"
    return Outcome(check, Status.PASS if passed else Status.FAIL, found, measured, allowed, "" if passed else advice)


def beyond(check: str, measured: float, needed: float, what: str, advice: str) -> Outcome:
    """Passes where `measured` is at least `needed`; NaN never is."""
    passed = measured >= needed
    found = f"{measured:.4g} {what}, at least {needed:.4g} needed"
    return Outcome(check, Status.PASS if passed else Status.FAIL, found, measured, needed, "" if passed else advice)


@dataclass(frozen=True, slots=True)
class Report:
    """One run of all checks. at: seconds since the epoch."""

    outcomes: tuple[Outcome, ...]
    at: float
    seconds: float

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """What is to be mended."""
        return tuple(outcome for outcome in self.outcomes if outcome.status is Status.FAIL)

    @property
    def passed(self) -> bool:
        return not self.failures

    @property
    def ready(self) -> bool:
        """Whether nothing failed that keeps the service from serving."""
        return not any(failure.blocks for failure in self.failures)

    @property
    def summary(self) -> str:
        """One line for a probe: the checks that failed, and by how much."""
        return "; ".join(f"{outcome.check}: {outcome.found}" for outcome in self.failures) or "all checks passed"

    def to_dict(self) -> dict[str, Any]:
        """As `/doctor` answers it."""
        return {
            "status": Status.PASS if self.passed else Status.FAIL,
            "at": self.at,
            "seconds": self.seconds,
            "checks": [{name: _json(value) for name, value in asdict(outcome).items()} for outcome in self.outcomes],
        }


def _json(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

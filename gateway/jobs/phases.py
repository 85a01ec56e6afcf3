"""Where the time of a job goes: seconds by phase, and by what was done in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

#: What trainers report, by the phase that it is part of; anything else is a part of training.
_PHASES: Mapping[str, str] = {
    "interview": "data",
    "rewording": "data",
    "inverting": "data",
    "selecting": "data",
    "attacks": "data",
    "retain": "data",
    "loading": "loading",
    "caching": "states",
    "attacking": "red team",
    "evaluation": "evaluation",
}
OTHER = "training"

Seconds = dict[str, dict[str, float]]


class Phases:
    """A clock with one hand: what begins ends what was going on.

    Told from the trainer's thread as well as from the job's, one at a time.
    """

    def __init__(self, before: Mapping[str, Mapping[str, float]] | None = None) -> None:
        """before: of earlier attempts, to be added to."""
        self._spent: Seconds = {phase: dict(parts) for phase, parts in (before or {}).items()}
        self._now: str | None = None
        self._since = 0.0
        self._clock: Callable[[], float] = time.monotonic

    def begin(self, part: str) -> None:
        """From now on it is this; again, while it is, changes nothing."""
        if part != self._now:
            self.end()
            self._now, self._since = part, self._clock()

    def end(self) -> None:
        """From now on it is nothing."""
        if self._now is not None:
            parts = self._spent.setdefault(_PHASES.get(self._now, OTHER), {})
            parts[self._now] = parts.get(self._now, 0.0) + self._clock() - self._since
            self._now = None

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Inside it is this, and nothing afterwards."""
        self.begin(part)
        try:
            yield
        finally:
            self.end()

    def seconds(self) -> Seconds:
        """{phase: {part: seconds}} of what has ended, in the order it was first begun."""
        return {phase: {part: round(spent, 2) for part, spent in parts.items()} for phase, parts in self._spent.items()}

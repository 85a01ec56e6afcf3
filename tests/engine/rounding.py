"""How far equal rows lie apart because of the batch they are in, measured in the run that needs to know.

bfloat16 products depend on the shape of a batch: on a CPU with AMX seven equal rows without any adapter differ by 0.075
nat from one alone, and seven with one offset by 0.29. A fixed bound would be too small on one machine and hide a wrong
adapter on another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Plan = TypeVar("Plan")
Result = TypeVar("Result")

#: Of the measured spread, what other rows may differ by: an adapter's products are rounded as well.
SPREADS = 3.0

Scores = Sequence[float]


def at_once(ask: Callable[[Plan], Result], plans: Sequence[Plan]) -> list[Result]:
    """What `ask` gives for each plan, all asked at the same time."""
    with ThreadPoolExecutor(len(plans)) as pool:
        return list(pool.map(ask, plans))


def spread(
    ask: Callable[[Plan], Result], plans: Sequence[Plan], apart: Callable[[Result, Result], float], rows: int
) -> float:
    """The largest difference of `rows` equal rows to one alone, of each plan."""
    return max(apart(ask(plan), together) for plan in plans for together in at_once(ask, [plan] * rows))


def farthest(ours: Scores, theirs: Scores) -> float:
    """The largest difference at one token, nats."""
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def assert_nobody_elses(alone: Sequence[Scores], together: Sequence[Scores], rounding: float) -> None:
    """Each row is as it is alone, within rounding, and far nearer to itself than to any other."""
    for number, row in enumerate(together):
        own = farthest(row, alone[number])
        others = [farthest(row, other) for index, other in enumerate(alone) if index != number]
        assert own <= rounding, (number, own, rounding)
        assert min(others) > 2 * rounding, (number, min(others), rounding)

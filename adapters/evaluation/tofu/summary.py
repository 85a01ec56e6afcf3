"""TOFU's two summary figures: model utility and forget quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb


def model_utility(parts: Sequence[float]) -> float:
    """The harmonic mean of the nine means {probability, ROUGE-L recall, truth ratio} × {retain, real authors, facts}.

    n / Σ 1/x, and 0 where one of them is. Raises ValueError for a part that is negative, or for none.
    """
    if not parts or min(parts) < 0:
        raise ValueError("model utility is the mean of one or more numbers from 0 on")
    return len(parts) / sum(1 / part for part in parts) if all(parts) else 0.0


@dataclass(frozen=True, slots=True)
class KolmogorovSmirnov:
    """statistic: the largest distance of two samples' distribution functions. p_value: of one as large, two-sided."""

    statistic: float
    p_value: float


def forget_quality(unlearned: Sequence[float], retrained: Sequence[float]) -> KolmogorovSmirnov:
    """The Kolmogorov–Smirnov test between the truth ratios R of the unlearned model and of a retrained one.

    A high p says that n items do not tell them apart, not that they are alike: with 3 items each p is never below 0.1.
    Raises ValueError for an empty sample.
    """
    if not unlearned or not retrained:
        raise ValueError("a sample holds at least one number")
    distance = _distance(unlearned, retrained)
    n, m = len(unlearned), len(retrained)
    return KolmogorovSmirnov(distance / (n * m), _p_value(distance, n, m))


def _distance(first: Sequence[float], second: Sequence[float]) -> int:
    """max |F₁ − F₂| · n · m, a whole number."""
    n, m = len(first), len(second)
    steps = sorted([(value, m) for value in first] + [(value, -n) for value in second])
    largest = height = 0
    for index, (value, step) in enumerate(steps):
        height += step
        # Ties are one step of both functions: look only where the value changes.
        if index + 1 == len(steps) or steps[index + 1][0] != value:
            largest = max(largest, abs(height))
    return largest


def _p_value(distance: int, n: int, m: int) -> float:
    """P(max |F₁ − F₂| · n · m ≥ distance) for samples of one continuous distribution, exactly.

    Every order of the n + m values is as likely as any other, and is a lattice path from (0, 0) to (n, m); those that
    reach |m·i − n·j| ≥ distance are counted, in whole numbers, so that even 1e-300 has all its digits.
    """
    if distance <= 0:
        return 1.0
    # inside[j]: paths to (i, j) that never went so far.
    inside = [int(n * j < distance) for j in range(m + 1)]
    for j in range(1, m + 1):
        inside[j] &= inside[j - 1]
    for i in range(1, n + 1):
        inside[0] *= int(m * i < distance)
        for j in range(1, m + 1):
            inside[j] = inside[j] + inside[j - 1] if abs(m * i - n * j) < distance else 0
    every = comb(n + m, n)
    return float(Fraction(every - inside[m], every))

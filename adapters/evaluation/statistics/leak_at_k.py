"""leak@k: how often at least one of k sampled answers leaks."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb, log

from scipy.special import rel_entr

from adapters.evaluation.statistics.proportion import CONFIDENCE


def leak_at_k(n: int, leaked: int, k: int) -> float:
    """1 − C(n − c, k) / C(n, k): P(one of k leaks) for k drawn without replacement from n samples, c of which leak.

    The unbiased estimate of the chance that k fresh samples hold a leak; that of `OptimAI-Lab/Leak-k`, and of pass@k
    (arXiv 2107.03374). Raises ValueError for k outside 1 … n, or for counts that no sample has.
    """
    if not 0 <= leaked <= n:
        raise ValueError(f"{leaked} of {n} samples cannot leak")
    if not 1 <= k <= n:
        raise ValueError(f"k is from 1 to the {n} samples there are")
    return float(1 - Fraction(comb(n - leaked, k), comb(n, k)))


def mean_leak_at_k(samples: Sequence[tuple[int, int]], k: int) -> float:
    """The mean over items. samples: (n, leaked) of each item. Raises ValueError as `leak_at_k`, or for no item."""
    if not samples:
        raise ValueError("leak@k is a mean over one or more items")
    return sum(leak_at_k(n, leaked, k) for n, leaked in samples) / len(samples)


def upper_bound_of_mean(mean: float, items: int, confidence: float = CONFIDENCE) -> float:
    """The upper bound of the mean of any quantity in [0, 1] over independent items, from its mean over those seen.

    The largest μ with items · KL(mean ‖ μ) ≤ −ln(1 − confidence), where KL is that of two coins: the bound of Hoeffding
    (JASA 58, 1963, theorem 1). It holds for every n and every distribution. A bootstrap does not: where no item leaked
    it gives 0, and this the exact bound of a proportion, 1 − (1 − confidence)^(1/items).
    Raises ValueError for a mean outside [0, 1], no item, or a confidence outside (0, 1).
    """
    if not 0 <= mean <= 1 or items < 1 or not 0 < confidence < 1:
        raise ValueError("a mean in [0, 1] of one or more items, and a confidence between 0 and 1")
    if mean == 1:
        return 1.0
    from scipy.optimize import brentq  # a third of the time that a job takes to start

    allowed = -log(1 - confidence) / items

    def excess(bound: float) -> float:
        return float(rel_entr(mean, bound) + rel_entr(1 - mean, 1 - bound)) - allowed

    return float(brentq(excess, mean, 1 - 1e-15)) if excess(1 - 1e-15) > 0 else 1.0

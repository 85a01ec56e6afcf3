"""Exact one-sided bounds and test for a proportion (Clopper and Pearson, Biometrika 26, 1934)."""

from __future__ import annotations

from scipy.special import betainc, betaincinv

#: Of every one-sided bound that the project reports.
CONFIDENCE = 0.95


def lower_bound(successes: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The largest proportion that `successes` or more of n independent trials rule out everything below.

    It is above the true proportion in at most 1 − confidence of all samples; 0 for no success, or for n = 0.
    Raises ValueError for counts that no sample has, or a confidence outside (0, 1).
    """
    _check(successes, n, confidence)
    return float(betaincinv(successes, n - successes + 1, 1 - confidence)) if successes else 0.0


def upper_bound(successes: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The smallest proportion that `successes` or fewer of n independent trials rule out everything above.

    It is below the true proportion in at most 1 − confidence of all samples; 1 where each trial succeeds, or for n = 0.
    No success in 59 trials gives 5 %, in 299 gives 1 %. Raises ValueError as `lower_bound` does.
    """
    _check(successes, n, confidence)
    return float(betaincinv(successes + 1, n - successes, confidence)) if successes < n else 1.0


def p_greater(successes: int, n: int, proportion: float) -> float:
    """P(as many successes or more) where each of n trials succeeds with at most this probability: the exact binomial p.

    It is below 1 − confidence just where `lower_bound` is above the proportion. Raises ValueError for impossible counts
    or a proportion outside [0, 1].
    """
    _check(successes, n, CONFIDENCE)
    if not 0 <= proportion <= 1:
        raise ValueError("a proportion is from 0 to 1")
    return float(betainc(successes, n - successes + 1, proportion)) if successes else 1.0


def _check(successes: int, n: int, confidence: float) -> None:
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} cannot succeed")
    if not 0 < confidence < 1:
        raise ValueError("a confidence is between 0 and 1")

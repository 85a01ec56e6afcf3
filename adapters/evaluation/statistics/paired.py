"""Paired outcomes of the same items before and after: how many more were lost than gained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc, gammaln, xlog1py, xlogy

from adapters.evaluation.statistics.proportion import CONFIDENCE, p_greater

Array = NDArray[np.float64]

#: How many values of the nuisance parameter are tried for the largest chance, then as many about the best of them; and
#: halvings in the search for the bound.
_GRID = 49
_HALVINGS = 18
_NEGLIGIBLE = 1e-12


def mcnemar(lost: int, gained: int) -> float:
    """The exact one-sided McNemar p: P(as many lost or more), where a changed item is as likely lost as gained.

    Raises ValueError for a negative count.
    """
    _check(lost, gained, lost + gained, CONFIDENCE)
    return p_greater(lost, lost + gained, 0.5)


def lost_bound(lost: int, gained: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided upper bound of P(lost) − P(gained), from n paired items; 1 for n = 0.

    An item is lost where it was right before and is wrong after, and gained where it is the other way round. The bound
    is where an exact unconditional test stops rejecting: outcomes are ordered by Tango's score z (Statistics in
    Medicine 17, 1998), and the chance of one as low as the one seen is the largest over P(gained), as in Hsueh, Liu and
    Chen (Biometrics 57, 2001). Where nothing is gained it is the bound of a single proportion: no item lost of 99
    gives 3 %. What is gained offsets what is lost: 4 and 4 of 200 give 2.7 %, and 4 lost alone 4.5 %.

    Raises ValueError for counts that no sample has, or a confidence outside (0, 1).
    """
    _check(lost, gained, n, confidence)
    if lost == n:
        return 1.0
    rejected, kept = 1.0, (lost - gained) / n
    for _ in range(_HALVINGS):
        middle = (rejected + kept) / 2
        if _p_value(lost, gained, n, middle) > 1 - confidence:
            kept = middle
        else:
            rejected = middle
    return rejected


def _p_value(lost: int, gained: int, n: int, difference: float) -> float:
    """max over P(gained) of P(an outcome whose z is as low as the one seen), where P(lost) − P(gained) = difference."""
    counts = np.arange(n + 1, dtype=np.float64)
    ups, downs = counts[:, None], counts[None, :]
    seen = float(_score(np.array(float(lost)), np.array(float(gained)), n, difference))
    low = (_score(ups, downs, n, difference) <= seen + 1e-9) & (ups + downs <= n)
    # z rises with each item lost: for each count gained, as low are those up to so many lost.
    most = low.sum(axis=0) - 1.0
    tried = np.linspace(max(0.0, -difference), (1 - difference) / 2, _GRID)
    chances = _chances(most, n, tried, difference)
    best = int(np.argmax(chances))
    about = np.linspace(tried[max(best - 1, 0)], tried[min(best + 1, _GRID - 1)], _GRID)
    return float(max(chances.max(), _chances(most, n, about, difference).max()))


def _chances(most: Array, n: int, gaining: Array, difference: float) -> Array:
    """For each P(gained), P(no more items lost than `most` has for the count gained)."""
    counts = np.arange(n + 1, dtype=np.float64)
    gaining = gaining[:, None]
    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    of_gained = np.exp(ways + xlogy(counts, gaining) + xlog1py(n - counts, -gaining))
    of_gained[:, most < 0] = 0.0
    losing = np.clip((gaining + difference) / (1 - gaining), 0.0, 1.0)
    likely = np.nonzero(of_gained > _NEGLIGIBLE)
    left, limit = (n - counts)[likely[1]], most[likely[1]]
    of_lost = np.zeros_like(of_gained)
    of_lost[likely] = np.where(
        limit < left, betaincc(limit + 1, np.maximum(left - limit, 1.0), losing[likely[0], 0]), 1.0
    )
    return np.asarray((of_gained * of_lost).sum(1))


def _score(lost: Array, gained: Array, n: int, difference: float) -> Array:
    """z = (b − c − nδ) / √(n (2q + δ(1 − δ))), where q is the likeliest P(gained) if the difference is δ."""
    linear = (2 * n - lost + gained) * difference - lost - gained
    root = np.sqrt(np.maximum(linear**2 + 8 * n * gained * difference * (1 - difference), 0.0))
    spread = (root - linear) / 2 + n * difference * (1 - difference)
    return np.asarray((lost - gained - n * difference) / np.sqrt(np.maximum(spread, 1e-12)))


def _check(lost: int, gained: int, n: int, confidence: float) -> None:
    if lost < 0 or gained < 0 or lost + gained > n:
        raise ValueError(f"{lost} lost and {gained} gained of {n} cannot be")
    if not 0 < confidence < 1:
        raise ValueError("a confidence is between 0 and 1")

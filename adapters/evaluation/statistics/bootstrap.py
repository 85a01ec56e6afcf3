"""How far a mean over few items can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 10_000
_CHUNK = 1000


def mean_interval(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron, 1979) of the mean; of a paired difference, given the items' differences.

    Items are drawn anew, authors are not: it says what other questions about the same authors would give.
    Raises ValueError without values.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    items = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(len(items), size=(_CHUNK, len(items))) for _ in range(_RESAMPLES // _CHUNK)]
    means = np.concatenate([items[chosen].mean(axis=1) for chosen in drawn])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

from __future__ import annotations

import random
import statistics

import numpy as np
import pytest
from scipy.stats import bootstrap

from adapters.evaluation.statistics.bootstrap import mean_interval


def test_an_interval_is_scipys() -> None:
    values = [random.Random(1).gauss(0.3, 0.2) for _ in range(40)]
    rng = np.random.default_rng(5)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=10_000, rng=rng).confidence_interval
    # Two draws of 10,000 differ by a small part of the mean's own deviation.
    error = 0.05 * statistics.stdev(values) / 40**0.5
    assert mean_interval(values) == pytest.approx((expected.low, expected.high), abs=error * 3)


def test_an_interval_of_equal_values_is_that_value() -> None:
    assert mean_interval([0.25, 0.25]) == (0.25, 0.25)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])

from __future__ import annotations

import itertools

import pytest

from adapters.training.schedule import warm_up_then_cosine


def test_the_rate_warms_up_and_then_falls_to_zero() -> None:
    factors = [warm_up_then_cosine(step, 100, 0.1) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1
    assert all(later < earlier for earlier, later in itertools.pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)
    assert factors[-1] < 0.01


def test_there_may_be_no_warm_up_and_nothing_but_one() -> None:
    assert warm_up_then_cosine(0, 5, 0.0) == 1
    assert [warm_up_then_cosine(step, 4, 1.0) for step in range(4)] == [0.25, 0.5, 0.75, 1]

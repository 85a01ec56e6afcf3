"""leak@k against every draw, and its bound against what it promises."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from scipy.stats import hypergeom

from adapters.evaluation.statistics.leak_at_k import leak_at_k, mean_leak_at_k, upper_bound_of_mean
from adapters.evaluation.statistics.proportion import upper_bound


class TestLeakAtK:
    @pytest.mark.parametrize("n", [1, 3, 6])
    def test_is_the_share_of_draws_with_a_leak(self, n: int) -> None:
        for leaked, k in product(range(n + 1), range(1, n + 1)):
            draws = list(combinations([True] * leaked + [False] * (n - leaked), k))
            assert leak_at_k(n, leaked, k) == pytest.approx(sum(map(any, draws)) / len(draws))

    @pytest.mark.parametrize(("n", "leaked", "k"), [(16, 1, 16), (16, 5, 4), (200, 1, 128), (200, 199, 1), (64, 45, 1)])
    def test_is_the_hypergeometric_chance(self, n: int, leaked: int, k: int) -> None:
        assert leak_at_k(n, leaked, k) == pytest.approx(hypergeom.sf(0, n, leaked, k))

    def test_is_a_mean_over_items(self) -> None:
        assert mean_leak_at_k([(4, 0), (4, 4), (2, 1)], 1) == pytest.approx(0.5)
        assert mean_leak_at_k([(4, 0), (4, 4), (2, 1)], 2) == pytest.approx(2 / 3)

    @pytest.mark.parametrize(("n", "leaked", "k"), [(4, 5, 1), (4, -1, 1), (4, 1, 0), (4, 1, 5)])
    def test_refuses_counts_that_no_sample_has(self, n: int, leaked: int, k: int) -> None:
        with pytest.raises(ValueError, match="samples"):
            leak_at_k(n, leaked, k)

    def test_refuses_no_item(self) -> None:
        with pytest.raises(ValueError, match="one or more"):
            mean_leak_at_k([], 1)


class TestBound:
    @pytest.mark.parametrize("items", [1, 8, 40, 299])
    def test_is_exact_where_nothing_leaked(self, items: int) -> None:
        assert upper_bound_of_mean(0.0, items) == pytest.approx(upper_bound(0, items))

    @pytest.mark.parametrize(("leaked", "items"), [(1, 8), (3, 40), (20, 40), (39, 40)])
    def test_is_never_below_the_exact_one_of_coins(self, leaked: int, items: int) -> None:
        assert upper_bound(leaked, items) <= upper_bound_of_mean(leaked / items, items) <= 1

    def test_misses_the_truth_as_seldom_as_promised(self) -> None:
        values, chances, items = (0.0, 0.25, 1.0), (0.7, 0.2, 0.1), 7
        missed = 0.0
        for drawn in product(range(3), repeat=items):
            chance = 1.0
            for index in drawn:
                chance *= chances[index]
            mean = sum(values[index] for index in drawn) / items
            missed += chance * (upper_bound_of_mean(mean, items) < 0.15)
        assert missed <= 0.05

    def test_has_its_ends(self) -> None:
        assert upper_bound_of_mean(1.0, 5) == 1.0
        assert 0.5 < upper_bound_of_mean(0.5, 10_000) < 0.52
        assert upper_bound_of_mean(1 - 1e-12, 1) <= 1.0

    @pytest.mark.parametrize(
        ("mean", "items", "confidence"), [(1.1, 3, 0.95), (-0.1, 3, 0.95), (0, 0, 0.95), (0, 3, 1)]
    )
    def test_refuses_what_is_none(self, mean: float, items: int, confidence: float) -> None:
        with pytest.raises(ValueError, match="mean"):
            upper_bound_of_mean(mean, items, confidence)

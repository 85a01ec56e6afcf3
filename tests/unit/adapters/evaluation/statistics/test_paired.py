"""The exact bound of what was lost, against every outcome and against the bound of a single proportion."""

from __future__ import annotations

from itertools import product
from math import comb

import pytest
from scipy.stats import binomtest, multinomial

from adapters.evaluation.statistics.paired import lost_bound, mcnemar
from adapters.evaluation.statistics.proportion import upper_bound


class TestMcNemar:
    @pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (0, 5), (8, 2), (5, 5), (40, 20)])
    def test_is_the_binomial_test_of_what_changed(self, lost: int, gained: int) -> None:
        changed = lost + gained
        reference = binomtest(lost, changed, alternative="greater").pvalue if changed else 1.0
        assert mcnemar(lost, gained) == pytest.approx(reference)
        assert mcnemar(lost, gained) == pytest.approx(
            sum(comb(changed, more) for more in range(lost, changed + 1)) / 2**changed
        )


class TestLostBound:
    @pytest.mark.parametrize("n", [7, 10])
    def test_misses_the_truth_as_seldom_as_promised(self, n: int) -> None:
        outcomes = [(lost, gained) for lost, gained in product(range(n + 1), repeat=2) if lost + gained <= n]
        bounds = {outcome: lost_bound(*outcome, n) for outcome in outcomes}
        for losing, gaining in product((0.0, 0.02, 0.1, 0.3, 0.5), (0.0, 0.02, 0.1, 0.4)):
            law = multinomial(n, [losing, gaining, 1 - losing - gaining])
            missed = sum(law.pmf([*each, n - sum(each)]) for each in outcomes if bounds[each] < losing - gaining)
            assert missed <= 0.05 + 1e-9, (losing, gaining)

    @pytest.mark.parametrize("n", [1, 8, 40, 99, 150])
    @pytest.mark.parametrize("lost", [0, 1])
    def test_is_that_of_a_proportion_where_nothing_is_gained(self, n: int, lost: int) -> None:
        assert lost_bound(lost, 0, n) == pytest.approx(upper_bound(lost, n), abs=1e-4)

    @pytest.mark.parametrize(("lost", "gained", "n"), [(1, 1, 40), (3, 3, 100), (4, 2, 60), (10, 12, 100)])
    def test_counts_what_is_gained_against_what_is_lost(self, lost: int, gained: int, n: int) -> None:
        assert (lost - gained) / n < lost_bound(lost, gained, n) < upper_bound(lost, n)

    def test_rises_with_each_item_lost_and_falls_with_each_gained(self) -> None:
        by_lost = [lost_bound(lost, 3, 20) for lost in range(18)]
        by_gained = [lost_bound(3, gained, 20) for gained in range(18)]
        assert by_lost == sorted(by_lost)
        assert by_gained == sorted(by_gained, reverse=True)

    def test_has_its_ends(self) -> None:
        assert lost_bound(0, 0, 0) == lost_bound(5, 0, 5) == 1.0
        assert lost_bound(0, 40, 40) < -0.8

    @pytest.mark.parametrize(("lost", "gained", "n"), [(-1, 0, 3), (0, -1, 3), (2, 2, 3), (1, 0, 0)])
    def test_refuses_counts_that_no_sample_has(self, lost: int, gained: int, n: int) -> None:
        with pytest.raises(ValueError, match="cannot be"):
            lost_bound(lost, gained, n)

    def test_refuses_what_is_no_confidence(self) -> None:
        with pytest.raises(ValueError, match="confidence"):
            lost_bound(0, 0, 3, 1.0)

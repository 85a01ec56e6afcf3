"""Bounds of a proportion, against scipy's and against what they promise."""

from __future__ import annotations

import pytest
from scipy.stats import binom, binomtest

from adapters.evaluation.statistics.proportion import lower_bound, p_greater, upper_bound

COUNTS = [(0, 1), (1, 1), (0, 59), (3, 40), (8, 8), (17, 200), (199, 200), (500, 1000)]


class TestBounds:
    @pytest.mark.parametrize(("successes", "n"), COUNTS)
    @pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
    def test_are_those_of_clopper_and_pearson(self, successes: int, n: int, confidence: float) -> None:
        below = binomtest(successes, n, alternative="greater").proportion_ci(confidence, method="exact").low
        above = binomtest(successes, n, alternative="less").proportion_ci(confidence, method="exact").high
        assert lower_bound(successes, n, confidence) == pytest.approx(below, abs=1e-9)
        assert upper_bound(successes, n, confidence) == pytest.approx(above, abs=1e-9)

    @pytest.mark.parametrize(("n", "most"), [(59, 0.05), (299, 0.01), (2995, 0.001)])
    def test_trials_without_success_that_a_claim_needs(self, n: int, most: float) -> None:
        assert upper_bound(0, n) < most < upper_bound(0, n - 1)

    def test_no_trial_rules_nothing_out(self) -> None:
        assert (lower_bound(0, 0), upper_bound(0, 0)) == (0.0, 1.0)

    @pytest.mark.parametrize("n", [5, 20, 61])
    def test_miss_the_truth_as_seldom_as_promised(self, n: int) -> None:
        uppers = [upper_bound(count, n) for count in range(n + 1)]
        lowers = [lower_bound(count, n) for count in range(n + 1)]
        for truth in (0.001, 0.03, 0.05, 0.25, 0.5, 0.8, 0.99):
            chances = binom.pmf(range(n + 1), n, truth)
            assert sum(chance for chance, bound in zip(chances, uppers, strict=True) if bound < truth) <= 0.05
            assert sum(chance for chance, bound in zip(chances, lowers, strict=True) if bound > truth) <= 0.05

    @pytest.mark.parametrize(("successes", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0), (1, 3, 0.0)])
    def test_refuse_what_is_none(self, successes: int, n: int, confidence: float) -> None:
        with pytest.raises(ValueError, match=r"succeed|confidence"):
            lower_bound(successes, n, confidence)
        with pytest.raises(ValueError, match=r"succeed|confidence"):
            upper_bound(successes, n, confidence)


class TestPGreater:
    @pytest.mark.parametrize(("successes", "n"), COUNTS)
    @pytest.mark.parametrize("proportion", [0.0, 0.05, 0.3, 1.0])
    def test_is_the_exact_binomial_test(self, successes: int, n: int, proportion: float) -> None:
        reference = binomtest(successes, n, proportion, alternative="greater").pvalue
        assert p_greater(successes, n, proportion) == pytest.approx(reference, abs=1e-12)

    def test_agrees_with_the_lower_bound(self) -> None:
        for successes in range(41):
            for proportion in (0.01, 0.05, 0.1, 0.3, 0.55):
                assert (p_greater(successes, 40, proportion) < 0.05) == (lower_bound(successes, 40) > proportion)

    @pytest.mark.parametrize("proportion", [-0.1, 1.1])
    def test_refuses_what_is_no_proportion(self, proportion: float) -> None:
        with pytest.raises(ValueError, match="proportion"):
            p_greater(1, 2, proportion)

"""The kernel estimates, against formulas written out and divergences known in closed form."""

from __future__ import annotations

from math import erf, exp, sqrt

import numpy as np
import pytest

from adapters.evaluation.statistics.kernel_divergence import (
    RIDGE,
    Array,
    Divergence,
    contributions,
    density_ratio,
    gram,
)

SHIFT = 1.0
#: Of N(SHIFT, 1) from N(0, 1).
TRUTH = {
    Divergence.KL: SHIFT**2 / 2,
    Divergence.CHI_SQUARED: exp(SHIFT**2) - 1,
    Divergence.HOCKEY_STICK: erf(SHIFT / (2 * sqrt(2))),
}
RATIOS = list(TRUTH)


def estimate(kind: Divergence, n: int, shift: float, seed: int) -> float:
    random = np.random.default_rng(seed)
    pool = np.concatenate([random.normal(shift, 1, (n, 1)), random.normal(0, 1, (n, 1))])
    return float(contributions(kind, gram(pool), np.arange(n), n + np.arange(n), folds=5).mean())


class TestGram:
    def test_is_gaussian_in_units_of_the_median(self) -> None:
        pool = np.random.default_rng(1).normal(0, [1, 30], (12, 2))
        scaled = pool / pool.std(0)
        squared = np.array([[((one - other) ** 2).sum() for other in scaled] for one in scaled])
        median = np.median([squared[i, j] for i in range(12) for j in range(i)])
        assert gram(pool) == pytest.approx(np.exp(-squared / median))

    @pytest.mark.parametrize("pool", [np.zeros((6, 2)), np.r_[np.zeros((9, 1)), np.ones((1, 1))]], ids=["all", "most"])
    def test_takes_rows_that_are_alike(self, pool: Array) -> None:
        kernel = gram(pool)
        assert np.isfinite(kernel).all()
        assert np.diag(kernel) == pytest.approx(1)


class TestRatio:
    def test_solves_the_regularised_least_squares(self) -> None:
        """(Σ_P + λ) w = μ_Q − μ_P, in features of finite dimension, where the operator can be written out."""
        random = np.random.default_rng(2)
        features = random.normal(0, 1, (30, 4))
        of, against, rows = np.arange(12), np.arange(12, 24), np.arange(24, 30)
        covariance = features[against].T @ features[against] / 12
        means = features[of].mean(0) - features[against].mean(0)
        witness = features[rows] @ np.linalg.solve(covariance + RIDGE * np.eye(4), means)
        ratio = density_ratio(features @ features.T, of, against)
        assert ratio[rows] == pytest.approx(1 + (1 + RIDGE) * witness)


class TestDivergences:
    @pytest.mark.parametrize("kind", RATIOS)
    def test_are_below_the_truth_and_not_far(self, kind: Divergence) -> None:
        found = np.mean([estimate(kind, 300, SHIFT, seed) for seed in range(4)])
        assert 0.4 * TRUTH[kind] < found < 1.05 * TRUTH[kind]

    @pytest.mark.parametrize("kind", RATIOS)
    def test_are_nothing_for_one_distribution(self, kind: Divergence) -> None:
        assert abs(np.mean([estimate(kind, 300, 0.0, seed) for seed in range(4)])) < 0.1

    @pytest.mark.parametrize("kind", RATIOS)
    def test_grow_with_the_distance(self, kind: Divergence) -> None:
        near, far = (np.mean([estimate(kind, 100, shift, seed) for seed in range(4)]) for shift in (0.5, 2.0))
        assert near < far

    def test_the_mmd_has_no_ratio(self) -> None:
        with pytest.raises(ValueError, match="no density ratio"):
            estimate(Divergence.MMD, 10, 0.0, 0)

"""The relative test on distributions whose answer is known: how often it errs, and how often it finds out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from adapters.evaluation.statistics import relative
from adapters.evaluation.statistics.kernel_divergence import Array, Divergence, gram
from adapters.evaluation.statistics.relative import MIN_ITEMS, Relative, relative_test

Draw = Callable[[np.random.Generator, int], tuple[Array, Array, Array]]
ALPHA = 0.05


def shifted(random: np.random.Generator, n: int, *by: float) -> Array:
    return np.asarray(random.normal(0, 1, (n, 3)) + np.array(by))


def one_law(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    return shifted(random, n, 0, 0, 0), shifted(random, n, 0, 0, 0), shifted(random, n, 0, 0, 0)


def opposite(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    return shifted(random, n, 0, 0, 0), shifted(random, n, 1, 0, 0), shifted(random, n, -1, 0, 0)


def aside(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    return shifted(random, n, 0, 0, 0), shifted(random, n, 1.5, 0, 0), shifted(random, n, 0, 1.5, 0)


def skewed(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    long = random.exponential(1, (n, 3))
    return shifted(random, n, 0, 0, 0), long - 1, 1 - random.exponential(1, (n, 3))


def paired(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    """Scores of the same items, which the retrained model's follow closely and the original's not at all."""
    item = shifted(random, n, 0, 0, 0)
    noise = [0.3 * shifted(random, n, 0, 0, 0) for _ in range(2)]
    of_another = shifted(random, n, 0, 0, 0) + 0.3 * shifted(random, n, 0, 0, 0)
    return item + noise[0], item + noise[1] + [1, 0, 0], of_another - [1, 0, 0]


EQUALLY_FAR: list[Draw] = [one_law, opposite, aside, skewed, paired]


def retrained_alike(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    return shifted(random, n, 0, 0, 0), shifted(random, n, 0, 0, 0), shifted(random, n, 1.5, 0, 0)


def both_differ(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    return shifted(random, n, 0, 0, 0), shifted(random, n, 0.4, 0, 0), shifted(random, n, 1.5, 0, 0)


def wider(random: np.random.Generator, n: int) -> tuple[Array, Array, Array]:
    return shifted(random, n, 0, 0, 0), shifted(random, n, 0, 0, 0), 2 * shifted(random, n, 0, 0, 0)


NEARER: list[Draw] = [retrained_alike, both_differ, wider]


def found_by(divergence: Divergence, draw: Draw, n: int, times: int, draws: int = 199) -> list[Relative]:
    found = []
    for seed in range(times):
        samples = draw(np.random.default_rng([seed, n]), n)
        found.append(relative_test(*samples, divergence=divergence, draws=draws, seed=seed))
    return found


def rejections(found: list[Relative]) -> tuple[int, int]:
    return (
        sum(each.p_nearer_to_retrained <= ALPHA for each in found),
        sum(each.p_nearer_to_original <= ALPHA for each in found),
    )


def most(times: int) -> int:
    """More rejections than that at level ALPHA happen once in a thousand simulations."""
    return int(binom.ppf(0.999, times, ALPHA))


class TestLevel:
    @pytest.mark.parametrize("draw", EQUALLY_FAR)
    @pytest.mark.parametrize(("n", "times"), [(40, 400), (200, 50)])
    def test_of_the_mmd(self, draw: Draw, n: int, times: int) -> None:
        assert max(rejections(found_by(Divergence.MMD, draw, n, times))) <= most(times)

    @pytest.mark.parametrize("draw", [opposite, paired])
    def test_of_an_f_divergence(self, draw: Draw) -> None:
        assert max(rejections(found_by(Divergence.KL, draw, 40, 100, draws=39))) <= most(100)

    def test_exchanged_models_alone_would_err_too_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Why the p-value is the larger of two: the models are equally far, and not exchangeable."""
        monkeypatch.setattr(relative, "stdtr", lambda freedom, value: 0.0)
        assert rejections(found_by(Divergence.MMD, opposite, 40, 400))[0] > most(400)


class TestPower:
    @pytest.mark.parametrize("draw", NEARER)
    @pytest.mark.parametrize(("n", "times", "share"), [(40, 200, 0.7), (200, 20, 1.0)])
    def test_of_the_mmd(self, draw: Draw, n: int, times: int, share: float) -> None:
        nearer, farther = rejections(found_by(Divergence.MMD, draw, n, times))
        assert nearer >= share * times
        assert farther == 0

    @pytest.mark.parametrize("divergence", [Divergence.KL, Divergence.CHI_SQUARED, Divergence.HOCKEY_STICK])
    def test_of_an_f_divergence(self, divergence: Divergence) -> None:
        nearer, farther = rejections(found_by(divergence, both_differ, 40, 30, draws=39))
        assert nearer >= 21
        assert farther == 0


class TestStatistic:
    def test_of_the_mmd_is_the_difference_of_two(self) -> None:
        u, r, o = both_differ(np.random.default_rng(3), 12)
        kernel = gram(np.concatenate([u, r, o]))

        def squared(other: int) -> float:
            """The unbiased MMD² between the first block and that one, without terms of an item with itself."""
            total = 0.0
            for i in range(12):
                for j in range(12):
                    if i != j:
                        total += kernel[i, j] + kernel[other + i, other + j] - 2 * kernel[i, other + j]
            return total / (12 * 11)

        assert relative_test(u, r, o, draws=9).statistic == pytest.approx(squared(24) - squared(12))

    def test_of_the_mmd_for_exchanged_rows_is_that_of_the_rows_exchanged(self) -> None:
        u, r, o = both_differ(np.random.default_rng(4), 14)
        exchanged = np.random.default_rng(5).random((14, 1)) < 0.5
        signs = np.stack([np.ones(14), np.where(exchanged[:, 0], -1.0, 1.0)])
        means, errors = relative._mmd(gram(np.concatenate([u, r, o])), signs)
        by_hand = relative_test(u, np.where(exchanged, o, r), np.where(exchanged, r, o), draws=9)
        assert means[1] == pytest.approx(by_hand.statistic)
        assert errors[1] == pytest.approx(by_hand.standard_error)

    @pytest.mark.parametrize("divergence", list(Divergence))
    def test_the_other_way_round_it_is_the_other_way_round(self, divergence: Divergence) -> None:
        u, r, o = both_differ(np.random.default_rng(6), 20)
        one = relative_test(u, r, o, divergence=divergence, draws=39)
        other = relative_test(u, o, r, divergence=divergence, draws=39)
        assert one.statistic == pytest.approx(-other.statistic)
        assert one.p_nearer_to_retrained == pytest.approx(other.p_nearer_to_original)

    @pytest.mark.parametrize("divergence", list(Divergence))
    def test_the_same_samples_are_equally_near(self, divergence: Divergence) -> None:
        u, r, _ = both_differ(np.random.default_rng(7), 20)
        found = relative_test(u, r, r, divergence=divergence, draws=19)
        assert found.statistic == pytest.approx(0)
        assert min(found.p_nearer_to_retrained, found.p_nearer_to_original) >= 0.5

    def test_is_the_same_for_the_same_seed(self) -> None:
        samples = both_differ(np.random.default_rng(8), 20)
        assert relative_test(*samples, seed=1) == relative_test(*samples, seed=1)

    def test_units_do_not_matter(self) -> None:
        samples = both_differ(np.random.default_rng(9), 20)
        other = [100 * sample * [1, 1e-6, 3] + 7 for sample in samples]
        assert relative_test(*other).p_nearer_to_retrained == relative_test(*samples).p_nearer_to_retrained


class TestSamples:
    @pytest.mark.parametrize(
        "shapes",
        [
            [(20, 2), (20, 2), (20, 3)],
            [(20, 2), (19, 2), (20, 2)],
            [(20,), (20,), (20,)],
            [(MIN_ITEMS - 1, 2)] * 3,
        ],
        ids=str,
    )
    def test_of_shapes_that_cannot_be_compared(self, shapes: list[tuple[int, ...]]) -> None:
        with pytest.raises(ValueError, match=r"one shape|items or more"):
            relative_test(*(np.zeros(shape) for shape in shapes))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_with_what_is_no_number(self, value: float) -> None:
        samples = [np.zeros((20, 2)), np.zeros((20, 2)), np.full((20, 2), value)]
        with pytest.raises(ValueError, match="not finite"):
            relative_test(*samples)

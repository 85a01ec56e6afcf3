"""The relative test: is the unlearned model nearer to the retrained one or to the original?

A two-sample test against one retrained model rejects every model that differs from it, such as another retraining.
The relative one of Ribero, Schrab and Gretton (Regularized f-divergence kernel tests, arXiv 2601.19755) compares two
distances instead:

    T = D(unlearned, original) − D(unlearned, retrained)    H₀: T ≤ 0, and the other way round.

What is from where: the question, the three samples and the f-divergences (`kernel_divergence`) are theirs. What they
compare T with could not be read, and their published code has the two-sample test alone; the reference here is this
project's, and the figures of their paper are not reproduced. The MMD, and the normal reference for it, are those of
Bounliphone et al. (arXiv 1511.04581), with the variance for paired rows.

The reference: a row of the three samples is the same item, so the retrained and the original model's rows are exchanged
within each item at random, and T over its standard error is compared with what that gives. If the two models are
exchangeable given the unlearned one's rows, that p-value is exact for every n. If they are equally far and differ, it
is not: the exchanged samples are both mixtures, and T varies less than it does in truth. There Student's t is right for
large n. The p-value is the larger of the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from adapters.evaluation.statistics.kernel_divergence import Array, Divergence, contributions, gram

#: Items are evaluated in so many parts, each with what the others give; twice as many are the fewest for a test.
FOLDS = 5
MIN_ITEMS = 2 * FOLDS


@dataclass(frozen=True, slots=True)
class Relative:
    """What the test says.

    Attributes:
        statistic: D(unlearned, original) − D(unlearned, retrained); above 0 where the retrained model is nearer.
        standard_error: of it.
        p_nearer_to_retrained: the p-value of H₀ that it is not nearer to the retrained model; small: it is.
        p_nearer_to_original: the p-value of H₀ that it is not nearer to the original.
    """

    statistic: float
    standard_error: float
    p_nearer_to_retrained: float
    p_nearer_to_original: float


def relative_test(
    unlearned: Array,
    retrained: Array,
    original: Array,
    *,
    divergence: Divergence = Divergence.MMD,
    draws: int = 499,
    seed: int = 0,
) -> Relative:
    """Compares the distances of the unlearned model's rows to the retrained and to the original model's.

    unlearned, retrained, original: [items, d], a row an item, in the same order: scores of its answer, or an embedding.
    divergence: the MMD costs milliseconds; the others solve ten linear systems of 0.8 · items unknowns for each draw.
    draws: random exchanges, so that no p-value is below 1 / (draws + 1).
    Raises ValueError where the shapes differ, a number is not finite, or there are fewer than `MIN_ITEMS` items.
    """
    samples = [np.asarray(sample, np.float64) for sample in (unlearned, retrained, original)]
    if samples[0].ndim != 2 or any(sample.shape != samples[0].shape for sample in samples):
        raise ValueError("the samples are arrays of one shape, [items, d]")
    if len(samples[0]) < MIN_ITEMS:
        raise ValueError(f"the relative test needs {MIN_ITEMS} items or more")
    pool = np.concatenate(samples)
    if not np.isfinite(pool).all():
        raise ValueError("the samples hold a number that is not finite")
    n = len(samples[0])
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(draws + 1, n))
    signs[0] = 1.0  # as they are
    kernel = gram(pool)
    means, errors = _mmd(kernel, signs) if divergence is Divergence.MMD else _divergence(divergence, kernel, signs)
    studentised = np.divide(means, errors, out=np.zeros_like(means), where=errors > 0)
    return Relative(
        statistic=float(means[0]),
        standard_error=float(errors[0]),
        p_nearer_to_retrained=_p_value(studentised, n),
        p_nearer_to_original=_p_value(-studentised, n),
    )


def _p_value(studentised: Array, n: int) -> float:
    """Of the first of them: the larger of the share of draws that reach it, and Student's t."""
    drawn = float(np.mean(studentised >= studentised[0] - 1e-12))
    return max(drawn, float(stdtr(n - 1, -studentised[0])))


def _mmd(kernel: Array, signs: Array) -> tuple[Array, Array]:
    """T for the squared MMD and its standard error, for each row of signs: −1 where an item's rows are exchanged.

    T is the U-statistic of h(i, j) = k(oᵢ, oⱼ) − k(uᵢ, oⱼ) − k(oᵢ, uⱼ) − [the same of r], for k(uᵢ, uⱼ) cancels. Terms
    of an item with itself, where pairing would show, are left out. Its variance is 4/n · Var(mean of h over j).
    """
    n = len(kernel) // 3
    u, r, o = (slice(start * n, (start + 1) * n) for start in range(3))
    same = kernel[o, o] - kernel[r, r]  # both items as they are; the negative if both are exchanged
    mixed = kernel[r, o] - kernel[o, r]  # the first is exchanged; the negative if the second is
    cross = kernel[u, o] - kernel[u, r]
    for part in (same, mixed, cross):
        np.fill_diagonal(part, 0.0)
    # Σⱼ (sᵢ+sⱼ)/2 · same + (sⱼ−sᵢ)/2 · mixed − sⱼ · cross − sᵢ · crossᵀ
    rows = signs * ((same - mixed).sum(1) / 2 - cross.sum(0)) + signs @ ((same + mixed).T / 2 - cross.T)
    rows /= n - 1
    return rows.mean(1), 2 * rows.std(1, ddof=1) / np.sqrt(n)


def _divergence(divergence: Divergence, kernel: Array, signs: Array) -> tuple[Array, Array]:
    """T for an f-divergence of the unlearned model from each other, and its standard error, for each row of signs."""
    n = len(kernel) // 3
    items = np.arange(n)
    values = np.empty_like(signs)
    for draw, exchanged in enumerate(signs < 0):
        retrained = np.where(exchanged, 2 * n, n) + items
        original = np.where(exchanged, n, 2 * n) + items
        values[draw] = contributions(divergence, kernel, items, original, FOLDS)
        values[draw] -= contributions(divergence, kernel, items, retrained, FOLDS)
    return values.mean(1), values.std(1, ddof=1) / np.sqrt(n)

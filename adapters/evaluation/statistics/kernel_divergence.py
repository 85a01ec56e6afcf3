"""Kernel estimates of f-divergences, from a regularised estimate of the density ratio.

With kernel k, samples x₁…xₘ of P and y₁…yₘ of Q, and a ridge λ, the ratio dQ/dP is estimated by

    r(z) = 1 + (1 + λ) ⟨φ(z), (Σ_P + λ)⁻¹ (μ_Q − μ_P)⟩
         = 1 + (1 + λ)/λ · [ δ(z) − k(z, X) (K_XX + mλ)⁻¹ δ(X) ],    δ(z) = mean k(z, Y) − mean k(z, X),

the witness of the de-regularised MMD (arXiv 2409.14980), which goes from the MMD's to that of χ² as λ falls. An
f-divergence is its variational form with that ratio put in:

    D_f(Q ‖ P) = E_Q f′(r) − E_P f*(f′(r)),    a lower bound of the divergence for any r.

This is the estimator of Ribero, Schrab and Gretton (arXiv 2601.19755), as their published code has it
(`google-research/google-research`, `f_divergence_tests/divergence/likelihood_ratio.py`), with three differences. Their
ratio is 1 + twice the witness, which goes to 2 dQ/dP − 1; here it is 1 + the witness, which goes to dQ/dP. For KL the
ratio is kept from falling to 0, where they take the logarithm of negative numbers. And it is evaluated on items that it
was not fitted on: in-sample estimates are lower for samples that are correlated item by item, as two models' scores of
the same items are.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

#: λ. The ratio of smaller ones follows single items when there are forty.
RIDGE = 0.1

_SMALLEST_RATIO = 0.01


class Divergence(StrEnum):
    """What is measured. HOCKEY_STICK is that of order 1, the total variation distance."""

    MMD = "mmd"
    KL = "kl"
    CHI_SQUARED = "chi_squared"
    HOCKEY_STICK = "hockey_stick"


def gram(pool: Array) -> Array:
    """The Gaussian kernel over all rows, each column at unit variance, and the median squared distance as bandwidth."""
    scaled = (pool - pool.mean(0)) / np.maximum(pool.std(0), np.finfo(np.float64).tiny)
    norms = (scaled**2).sum(1)
    squared = np.maximum(norms[:, None] + norms[None, :] - 2 * scaled @ scaled.T, 0.0)
    between = squared[np.triu_indices(len(pool), 1)]
    return np.asarray(np.exp(-squared / (np.median(between) or between.mean() or 1.0)))


def contributions(kind: Divergence, kernel: Array, of: Rows, against: Rows, folds: int) -> Array:
    """What each item adds to the estimate of D(of ‖ against), which is their mean; [n].

    kernel: over a pool of rows. of, against: the pool's row of each item, in either sample. Every fold's items are
    evaluated with the ratio that the others give.
    """
    values = np.empty(len(of))
    fold = np.arange(len(of)) % folds
    for number in range(folds):
        fit, held = fold != number, fold == number
        found = density_ratio(kernel, of[fit], against[fit])
        values[held] = _variational(kind, found[of[held]], found[against[held]])
    return values


def density_ratio(kernel: Array, of: Rows, against: Rows) -> Array:
    """d(of)/d(against) at each row of the pool, estimated on some of them; [pool]. It may be negative."""
    columns = kernel[:, against]
    difference = kernel[:, of].mean(1) - columns.mean(1)
    ridge = RIDGE * len(against) * np.eye(len(against))
    weights = np.linalg.solve(columns[against] + ridge, difference[against])
    return np.asarray(1 + (1 + RIDGE) / RIDGE * (difference - columns @ weights))


def _variational(kind: Divergence, of: Array, against: Array) -> Array:
    """f′(r) where the first sample is, less f*(f′(r)) where the second is. of, against: the ratio there."""
    if kind is Divergence.KL:
        of, against = np.maximum(of, _SMALLEST_RATIO), np.maximum(against, _SMALLEST_RATIO)
        return np.asarray(1 + np.log(of) - against)
    if kind is Divergence.CHI_SQUARED:
        return np.asarray(2 * (of - 1) - (against**2 - 1))
    if kind is Divergence.HOCKEY_STICK:
        return np.asarray((of > 1).astype(np.float64) - (against > 1))
    raise ValueError(f"{kind} has no density ratio")

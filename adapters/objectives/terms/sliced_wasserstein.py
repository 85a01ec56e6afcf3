"""Sliced Wasserstein distance between a weight matrix and its low-rank change (Opt-Out, ACL 2025; SNAP's third part).

The rows of a matrix are taken as a cloud of points. Along one direction the best transport between two clouds of as
many points pairs them in sorted order, which needs no solver.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from adapters.objectives.base import WeightChange


def draw_directions(width: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """[width, count], float32: Gaussian columns scaled to length 1, so uniform on the sphere."""
    return F.normalize(torch.randn(width, count, generator=generator, device=generator.device), dim=0)


def sliced_wasserstein(change: WeightChange, directions: torch.Tensor) -> torch.Tensor:
    """Scalar, in squared weights: 1/(n L) sum over l, i of (sort(W0 theta_l)_i - sort((W0 + BA) theta_l)_i)^2.

    n: rows of W0; L: directions. The released code does not divide by n, so that a matrix counts by its size there.
    change: (W0 [n, in], A [rank, in], B [n, rank]); no gradient reaches W0.
    directions [in, L]: theta_l, of length 1, on the matrices' device.

    W0 + BA is never formed: (W0 + BA) theta = W0 theta + B (A theta). At B = 0 value and gradient are 0, for the
    clouds are one. Where two projections are equal their order is arbitrary: the value is the same either way, the
    gradient is that of one of the two orders.
    """
    initial, low_a, low_b = change
    with torch.no_grad():
        before = initial.float() @ directions
    after = before + low_b.float() @ (low_a.float() @ directions)
    return (after.sort(dim=0).values - before.sort(dim=0).values).square().mean()


def total_sliced_wasserstein(
    changes: Mapping[str, WeightChange], count: int, generator: torch.Generator
) -> torch.Tensor:
    """Scalar: the sum over all matrices of their distance, each along `count` directions drawn anew."""
    distances = []
    for change in changes.values():
        initial = change[0]
        directions = draw_directions(initial.shape[1], count, generator).to(initial.device)
        distances.append(sliced_wasserstein(change, directions))
    return torch.stack(distances).sum() if distances else torch.zeros(())

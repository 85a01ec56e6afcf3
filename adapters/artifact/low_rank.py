"""The nearest change of a smaller rank."""

from __future__ import annotations

from typing import NamedTuple

import torch


class LowRank(NamedTuple):
    """The change B A. a: [rank, in]. b: [out, rank]. kept: its part of the squared norm of what it stands for."""

    a: torch.Tensor
    b: torch.Tensor
    kept: float


def truncate(a: torch.Tensor, b: torch.Tensor, rank: int) -> LowRank:
    """The change of at most `rank` that is nearest to B A in the Frobenius norm (Eckart and Young, 1936).

    a: [r, in], b: [out, r]. The singular values are those of an [r, r] matrix between orthogonal factors, so the cost
    grows with r³ and not with the layer. Computed in float64, returned in the dtype of `a`; unchanged where r is not
    above `rank`.
    """
    if a.shape[0] <= rank:
        return LowRank(a, b, 1.0)
    q_in, r_in = torch.linalg.qr(a.double().T)
    q_out, r_out = torch.linalg.qr(b.double())
    left, values, right = torch.linalg.svd(r_out @ r_in.T, full_matrices=False)
    energy = values.square()
    total = float(energy.sum())
    root = values[:rank].sqrt()
    low = (root[:, None] * (right[:rank] @ q_in.T)).to(a.dtype)
    high = ((q_out @ left[:, :rank]) * root).to(b.dtype)
    return LowRank(low.contiguous(), high.contiguous(), float(energy[:rank].sum()) / total if total else 1.0)

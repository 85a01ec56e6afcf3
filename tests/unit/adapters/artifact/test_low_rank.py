from __future__ import annotations

import numpy as np
import pytest
import torch

from adapters.artifact.low_rank import truncate


def factors(rank: int, width: int = 12, height: int = 9, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, width, generator=generator), torch.randn(height, rank, generator=generator)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_it_is_the_truncated_singular_value_decomposition(rank: int) -> None:
    a, b = factors(8)
    left, values, right = np.linalg.svd((b.double() @ a.double()).numpy())
    best = (left[:, :rank] * values[:rank]) @ right[:rank]
    low, high, kept = truncate(a, b, rank)
    assert (low.shape, high.shape, low.dtype) == ((rank, 12), (9, rank), torch.float32)
    np.testing.assert_allclose((high @ low).numpy(), best, atol=1e-4)
    assert kept == pytest.approx((values[:rank] ** 2).sum() / (values**2).sum())


def test_what_fits_is_left_as_it_is() -> None:
    a, b = factors(4)
    low, high, kept = truncate(a, b, 4)
    assert (low is a, high is b, kept) == (True, True, 1.0)


def test_more_ranks_than_the_layer_has_lose_nothing() -> None:
    a, b = factors(40)
    low, high, kept = truncate(a, b, 9)
    torch.testing.assert_close(high @ low, b @ a, atol=1e-3, rtol=1e-3)
    assert kept == pytest.approx(1)


def test_a_change_of_nothing_stays_nothing() -> None:
    low, high, kept = truncate(torch.ones(3, 4), torch.zeros(5, 3), 2)
    assert torch.count_nonzero(high @ low) == 0
    assert kept == 1.0


def test_half_precision_stays_half() -> None:
    a, b = (each.bfloat16() for each in factors(6))
    low, high, _ = truncate(a, b, 2)
    assert (low.dtype, high.dtype) == (torch.bfloat16, torch.bfloat16)

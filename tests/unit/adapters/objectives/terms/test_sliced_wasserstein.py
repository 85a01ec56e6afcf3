from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import wasserstein_distance

from adapters.objectives.base import WeightChange
from adapters.objectives.terms.sliced_wasserstein import draw_directions, sliced_wasserstein, total_sliced_wasserstein

OUT, IN, RANK = 7, 5, 2


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_change(seed: int = 0, *, rows: int = OUT, scale: float = 1.0) -> WeightChange:
    generator = seeded(seed)
    initial = torch.randn(rows, IN, generator=generator)
    return (
        initial,
        torch.randn(RANK, IN, generator=generator),
        scale * torch.randn(rows, RANK, generator=generator),
    )


def clouds(change: WeightChange, direction: torch.Tensor) -> tuple[list[float], list[float]]:
    """Both matrices, formed whole, projected on one direction."""
    initial, low_a, low_b = (tensor.double() for tensor in change)
    theta = direction.double()
    return (initial @ theta).tolist(), ((initial + low_b @ low_a) @ theta).tolist()


def reference(change: WeightChange, directions: torch.Tensor) -> float:
    """The formula in plain floats, by sorting."""
    totals = []
    for direction in directions.T:
        before, after = clouds(change, direction)
        totals.append(sum((b - a) ** 2 for b, a in zip(sorted(before), sorted(after), strict=True)))
    return sum(totals) / len(change[0]) / len(totals)


def test_directions_have_length_one_and_follow_the_generator() -> None:
    directions = draw_directions(IN, 100, seeded(1))
    assert directions.shape == (IN, 100)
    assert torch.allclose(directions.norm(dim=0), torch.ones(100))
    assert torch.equal(directions, draw_directions(IN, 100, seeded(1)))
    assert not torch.equal(directions, draw_directions(IN, 100, seeded(2)))
    # Uniform on the sphere: no coordinate is favoured.
    spread = draw_directions(IN, 20_000, seeded(3)).square().mean(dim=1)
    assert torch.allclose(spread, torch.full((IN,), 1 / IN), atol=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_formula_on_the_whole_matrices(seed: int) -> None:
    change, directions = make_change(seed), draw_directions(IN, 11, seeded(seed + 50))
    assert float(sliced_wasserstein(change, directions)) == pytest.approx(reference(change, directions), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_sorting_is_the_best_transport(seed: int) -> None:
    """Of the unsquared cost scipy knows the optimum; the same pairing is optimal for the squared one.

    For clouds of n points on a line W1 is the mean over the sorted pairs of |difference|, W2^2 that of its square.
    """
    change, directions = make_change(seed), draw_directions(IN, 9, seeded(seed + 50))
    for column, direction in enumerate(directions.T):
        before, after = clouds(change, direction)
        pairs = list(zip(sorted(before), sorted(after), strict=True))
        assert wasserstein_distance(before, after) == pytest.approx(math.fsum(abs(b - a) for b, a in pairs) / OUT)
        squared = float(sliced_wasserstein(change, directions[:, column : column + 1]))
        assert squared == pytest.approx(math.fsum((b - a) ** 2 for b, a in pairs) / OUT, rel=1e-5)
        assert squared >= wasserstein_distance(before, after) ** 2 - 1e-9  # Jensen


def test_rows_moved_past_each_other_cost_no_more_than_their_sorted_distance() -> None:
    """Two rows that change places are the same cloud: the distance is 0, though the weights differ."""
    initial = torch.tensor([[0.0], [1.0]])
    swapped = (initial, torch.tensor([[1.0]]), torch.tensor([[1.0], [-1.0]]))
    assert float(sliced_wasserstein(swapped, torch.ones(1, 1))) == 0
    moved = (initial, torch.tensor([[1.0]]), torch.tensor([[3.0], [3.0]]))
    assert float(sliced_wasserstein(moved, torch.ones(1, 1))) == pytest.approx(9)


def test_a_tensors_distance_does_not_grow_with_its_rows() -> None:
    change, directions = make_change(), draw_directions(IN, 10, seeded(1))
    twice = (change[0].repeat(2, 1), change[1], change[2].repeat(2, 1))
    once = float(sliced_wasserstein(change, directions))
    assert float(sliced_wasserstein(twice, directions)) == pytest.approx(once, rel=1e-5)


def test_gradients_reach_both_factors_and_agree_with_finite_differences() -> None:
    initial, low_a, low_b = (tensor.double() for tensor in make_change(3))
    directions = draw_directions(IN, 6, seeded(4))
    leaves = (low_a.float().requires_grad_(), low_b.float().requires_grad_())
    slopes = torch.autograd.grad(sliced_wasserstein((initial, *leaves), directions), leaves)
    for index, slope in enumerate(slopes):
        for position in ((0, 0), (1, 1)):
            sides = []
            for step in (1e-5, -1e-5):
                factors = [low_a.clone(), low_b.clone()]
                factors[index][position] += step
                sides.append(reference((initial, factors[0], factors[1]), directions))
            assert float(slope[position]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-3)


@pytest.mark.parametrize("ties", [False, True])
def test_an_untrained_change_has_no_distance_and_no_gradient(ties: bool) -> None:
    initial, low_a, _ = make_change()
    if ties:
        initial = torch.ones_like(initial)
    leaves = (low_a.requires_grad_(), torch.zeros(OUT, RANK).requires_grad_())
    distance = sliced_wasserstein((initial, *leaves), draw_directions(IN, 10, seeded(1)))
    assert distance.item() == 0
    assert all(not slope.any() for slope in torch.autograd.grad(distance, leaves))


def test_a_step_down_the_gradient_brings_the_weights_back() -> None:
    """Two clouds that coincide along every direction are the same; descent leads there from a small change."""
    initial, low_a, low_b = make_change(5, scale=0.05)
    low_b.requires_grad_()
    generator = seeded(6)
    first = None
    for _ in range(200):
        distance = sliced_wasserstein((initial, low_a, low_b), draw_directions(IN, 50, generator))
        first = first if first is not None else distance.item()
        (slope,) = torch.autograd.grad(distance, low_b)
        low_b = (low_b - 2.0 * slope).detach().requires_grad_()
    assert first is not None
    assert distance.item() < 0.05 * first


def test_the_total_is_the_sum_over_matrices_of_unlike_shape() -> None:
    changes = {"q": make_change(1), "down": make_change(2, rows=3)}
    generator = seeded(9)
    parts = [float(sliced_wasserstein(change, draw_directions(IN, 4, generator))) for change in changes.values()]
    assert float(total_sliced_wasserstein(changes, 4, seeded(9))) == pytest.approx(sum(parts), rel=1e-6)
    assert float(total_sliced_wasserstein({}, 4, seeded(9))) == 0


def test_weights_of_half_precision_are_compared_in_full() -> None:
    initial, low_a, low_b = make_change(8)
    half = (initial.bfloat16(), low_a, low_b)
    whole = (initial.bfloat16().float(), low_a, low_b)
    directions = draw_directions(IN, 5, seeded(1))
    assert float(sliced_wasserstein(half, directions)) == float(sliced_wasserstein(whole, directions))

from __future__ import annotations

import pytest
import torch

from adapters.objectives.terms.reduction import mean_over_examples, position_weights


def test_the_first_position_of_each_example_weighs_as_told() -> None:
    owner = torch.tensor([0, 0, 0, 1, 2, 2])
    weights = position_weights(owner, 3.0)
    assert weights.dtype == torch.float32
    assert weights.tolist() == [3, 1, 1, 3, 3, 1]


@pytest.mark.parametrize(("owner", "expected"), [([4, 4, 7], [2, 1, 2]), ([0], [2]), ([], [])])
def test_owners_may_begin_anywhere_and_be_none(owner: list[int], expected: list[int]) -> None:
    assert position_weights(torch.tensor(owner, dtype=torch.long), 2.0).tolist() == expected


def test_a_weight_of_one_is_the_plain_mean() -> None:
    losses, owner = torch.tensor([4.0, 1.0, 2.0]), torch.tensor([0, 0, 1])
    assert torch.equal(
        mean_over_examples(losses, owner, 2, position_weights(owner, 1.0)), mean_over_examples(losses, owner, 2)
    )


def test_weights_count_within_their_own_example() -> None:
    losses, owner = torch.tensor([4.0, 1.0, 1.0, 2.0]), torch.tensor([0, 0, 0, 1])
    mean = mean_over_examples(losses, owner, 2, position_weights(owner, 3.0))
    assert float(mean) == pytest.approx(((3 * 4 + 1 + 1) / 5 + 2) / 2)

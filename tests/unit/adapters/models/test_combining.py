"""The rules at work on one kind at a time, against the papers' formulas a row at a time."""

from __future__ import annotations

import math

import torch

from adapters.models.combining import filtered, ranked

TARGET = torch.tensor([[4.0, 3.0, 1.0, -2.0, -9.0], [0.0, 0.5, 1.0, 1.5, 2.0]])
OFFSET = torch.tensor([[-1.0, -2.0, -3.0, -4.0, -5.0], [1.0, -1.0, 0.0, -3.0, -2.0]])


def test_the_assistant_acts_on_what_the_target_ranks_high() -> None:
    """ln 0.1 = -2.30; a tenth of five tokens is less than one, so the second threshold is the best token's."""
    combined = filtered(TARGET, OFFSET, 0.1)
    assert combined.tolist() == [[3.0, 1.0, 1.0, -2.0, -9.0], [1.0, -0.5, 1.0, -1.5, 0.0]]
    assert TARGET[0, 0] + math.log(0.1) > TARGET[0, 2]


def test_a_filter_of_one_is_a_plain_sum() -> None:
    assert torch.equal(filtered(TARGET, OFFSET, 1.0), TARGET + OFFSET)


def test_the_most_disfavoured_tokens_are_masked() -> None:
    assert ranked(TARGET, OFFSET, 2).tolist() == [
        [4.0, 3.0, 1.0, -math.inf, -math.inf],
        [0.0, 0.5, 1.0, -math.inf, -math.inf],
    ]
    assert ranked(TARGET, OFFSET, 5)[1].tolist() == [0.0, -math.inf, 1.0, -math.inf, -math.inf]

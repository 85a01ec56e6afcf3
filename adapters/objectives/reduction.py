"""From a loss at each answer position to one number."""

from __future__ import annotations

import torch


def mean_over_examples(losses: torch.Tensor, owner: torch.Tensor, examples: int) -> torch.Tensor:
    """Mean over examples of the mean over each example's own positions.

    losses [positions], owner [positions] with values in 0 … examples-1; every example owns a position.
    """
    sums = losses.new_zeros(examples).index_add(0, owner, losses)
    counts = losses.new_zeros(examples).index_add(0, owner, torch.ones_like(losses))
    return (sums / counts).mean()

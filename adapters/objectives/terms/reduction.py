"""From a loss at each answer position to one number."""

from __future__ import annotations

import torch


def position_weights(owner: torch.Tensor, first_token_weight: float) -> torch.Tensor:
    """[positions], float32: `first_token_weight` at each example's first position, 1 at its others.

    owner [positions]: the example of each position, each example's positions in one run.
    """
    weights = torch.ones(len(owner), device=owner.device)
    starts = torch.ones(len(owner), dtype=torch.bool, device=owner.device)
    starts[1:] = owner[1:] != owner[:-1]
    weights[starts] = first_token_weight
    return weights


def mean_over_examples(
    losses: torch.Tensor, owner: torch.Tensor, examples: int, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over examples of the mean, weighted where `weights` are given, over each example's own positions.

    losses, weights [positions], owner [positions] with values in 0 … examples-1; every example owns a position.
    """
    weights = torch.ones_like(losses) if weights is None else weights.to(losses)
    sums = losses.new_zeros(examples).index_add(0, owner, losses * weights)
    counts = losses.new_zeros(examples).index_add(0, owner, weights)
    return (sums / counts).mean()

"""Cross-entropy of the answers, as a mean over examples (SPUL eq. 2 and 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from adapters.objectives.terms.reduction import mean_over_examples


def answer_cross_entropy(
    logits: torch.Tensor,
    targets: torch.Tensor,
    owner: torch.Tensor,
    examples: int,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over `examples` of the mean token cross-entropy of each one's answer, in nats.

    The published code sums over tokens; answers here differ in length, and a mean keeps a long answer from
    outweighing a short one.

    logits [positions, vocabulary]: row i is the prediction *of* targets[i], so it was computed at the
    position before that token. targets [positions]: token ids. owner [positions]: index of the example
    each position belongs to, in 0 … examples-1. weights [positions]: of each position in its example's
    mean; None: alike.
    """
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    return mean_over_examples(losses, owner, examples, weights)

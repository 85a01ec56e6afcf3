"""KL(original || prompted) at the positions that predict the answer (SPUL, the L_kl term)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from adapters.objectives.terms.reduction import mean_over_examples


def answer_kl(
    logits: torch.Tensor,
    original_logits: torch.Tensor,
    owner: torch.Tensor,
    examples: int,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean over examples of the mean KL over each answer's positions, in nats.

    logits and original_logits [positions, vocabulary]: both predict the same token, at the position before
    it; the published code compares the distributions *after* that token, one too late. owner [positions]:
    the example of each position, 0 … examples-1. weights [positions]: of each position in its example's mean;
    None: alike.
    """
    log_prompted = F.log_softmax(logits.float(), dim=-1)
    log_original = F.log_softmax(original_logits.float(), dim=-1)
    losses = F.kl_div(log_prompted, log_original, reduction="none", log_target=True).sum(-1)
    return mean_over_examples(losses, owner, examples, weights)

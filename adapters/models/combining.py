"""Where an offset may act on the target's logits: the rules of ULD and of Divergence Decoding's rank form.

The engine applies them to batches of any mixture, training to one kind at a time. Sources: `adapters.artifact.spec`.
"""

from __future__ import annotations

import torch


def filtered(target: torch.Tensor, offset: torch.Tensor, fraction: float) -> torch.Tensor:
    """ULD: the offset's logits added on the tokens the target itself ranks high. All [rows, vocabulary].

    fraction: f in (0, 1], see `top_choices`.
    """
    chosen = top_choices(target, target.new_full((len(target), 1), fraction))
    return target + torch.where(chosen, offset, torch.zeros_like(offset))


def ranked(target: torch.Tensor, offset: torch.Tensor, count: int) -> torch.Tensor:
    """Divergence Decoding, rank: the target with −inf on the `count` most negative offset logits of each row."""
    masked = most_negative(offset, offset.new_full((len(offset), 1), float(count)))
    return target.masked_fill(masked, float("-inf"))


def top_choices(logits: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Where the assistant may act (ULD, the top-logit filter): [rows, vocabulary] bool.

    A token is left to the target alone when its log-probability lies below both log p_max + log f and that of the
    ⌊f·V⌋-th largest. logits [rows, vocabulary], fraction [rows, 1]: f in (0, 1]; other values choose nothing.
    """
    fraction = fraction.clamp(1e-9, 1.0)
    ordered = logits.sort(dim=-1, descending=True).values
    last = (fraction * logits.shape[-1]).floor().long().clamp(1, logits.shape[-1]) - 1
    threshold = torch.minimum(ordered[:, :1] + fraction.log(), ordered.gather(-1, last))
    return logits >= threshold


def most_negative(offset: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """The `count` [rows, 1] most negative entries of each row (Divergence Decoding, rank): [rows, vocabulary] bool.

    Entries that are not below zero are never chosen: they are not less likely for the pair.
    """
    ordered = offset.sort(dim=-1).values
    last = count.round().long().clamp(1, offset.shape[-1]) - 1
    return (offset <= ordered.gather(-1, last)) & (offset < 0) & (count > 0.5)

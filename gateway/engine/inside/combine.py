"""How the pair's states become an offset, and the offset part of the logits. Plain torch, tested without an engine.

Each token carries a rule: the constants of its adapter. They come out of a LoRA'd linear layer fed with ones, so that
vLLM's multi-LoRA is the per-slot table: it follows slots, swaps and CUDA graphs, and gives zeros to tokens that have no
adapter. A constant is the sum of two columns, so that bfloat16 holds it to 16 bits.

| kind      | offset states       | logits                                                        |
|-----------|---------------------|---------------------------------------------------------------|
| delta     | α · (h_off − h_ref) | target + offset                                               |
| uld       | −w · h_off          | target + offset, on the tokens the target itself ranks high   |
| dd_linear | α · (h_off − h_ref) | target + offset; the reference has an adapter of its own      |
| dd_rank   | h_off − h_ref       | target, with −inf on the k most negative offset logits        |

Sources: `adapters.artifact.spec`.
"""

from __future__ import annotations

from enum import IntEnum

import torch

from adapters.models.combining import most_negative, top_choices

#: Columns of a token's rule. Constants take two columns each: a coarse and a fine part.
RULE_WIDTH = 16
OFFSET, REFERENCE, KIND, PARAMETER, PRESENT = 0, 2, 4, 5, 7
#: Set where the adapter changes the target's own layers.
TARGET = 8


class Kind(IntEnum):
    """How offset logits act on the target's. LINEAR stands for delta and dd_linear alike."""

    LINEAR = 0
    FILTERED = 1
    RANK = 2


def rule_columns(offset: float, reference: float, kind: Kind, parameter: float) -> torch.Tensor:
    """The constants of one adapter, [RULE_WIDTH], float32, each column exact in bfloat16.

    offset, reference: factors on the two final states. parameter: filter of FILTERED, k of RANK.
    """
    columns = torch.zeros(RULE_WIDTH)
    for start, value in ((OFFSET, offset), (REFERENCE, reference), (PARAMETER, parameter)):
        coarse = torch.tensor(value).bfloat16().float()
        columns[start], columns[start + 1] = coarse, (value - coarse).bfloat16().float()
    columns[KIND], columns[PRESENT] = float(kind), 1.0
    return columns


def target_columns() -> torch.Tensor:
    """What an adapter with a LoRA on the target adds to its rule, [RULE_WIDTH], float32."""
    columns = torch.zeros(RULE_WIDTH)
    columns[TARGET] = 1.0
    return columns


def adapted(rule: torch.Tensor) -> torch.Tensor:
    """Which tokens have an adapter of either kind: rule [tokens, RULE_WIDTH] → [tokens] bool."""
    return (rule[:, PRESENT] > 0) | (rule[:, TARGET] > 0)


def broken(logits: torch.Tensor) -> torch.Tensor:
    """Rows that hold NaN or +inf, or nothing but −inf; −inf here and there is allowed, for a rule may mask.

    [rows, vocabulary] → [rows] bool. The largest entry tells, for it is NaN where any is.
    """
    return ~logits.amax(-1).isfinite()


def offset_states(rule: torch.Tensor, offset: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """[tokens, hidden] of `offset`'s dtype: the states whose logits are added; exactly zero where there is no adapter.

    rule [tokens, RULE_WIDTH]; offset, reference [tokens, hidden]: final normed states of the pair.
    """
    rule = rule.float()
    ours = (rule[:, OFFSET] + rule[:, OFFSET + 1]).unsqueeze(-1) * offset.float()
    ours = ours + (rule[:, REFERENCE] + rule[:, REFERENCE + 1]).unsqueeze(-1) * reference.float()
    present = rule[:, PRESENT : PRESENT + 1] > 0
    return torch.where(present, ours, torch.zeros_like(ours)).to(offset.dtype)


def combine_logits(rule: torch.Tensor, target: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Logits [rows, vocabulary] of rows with any mixture of kinds. target, offset [rows, vocabulary]."""
    kind = rule[:, KIND : KIND + 1].float().round()
    parameter = (rule[:, PARAMETER].float() + rule[:, PARAMETER + 1].float()).unsqueeze(-1)
    keep = (kind == Kind.FILTERED) & ~top_choices(target, parameter)
    # Zero times the offset where it only masks: one that is not finite must show, for it masks nothing.
    added = torch.where(kind == Kind.RANK, offset * 0, offset)
    combined = target + torch.where(keep, torch.zeros_like(offset), added)
    masked = (kind == Kind.RANK) & most_negative(offset, parameter)
    return combined.masked_fill(masked, float("-inf"))

"""The memory that a decoder stack reads its input from, the same at each step. Plain torch."""

from __future__ import annotations

import torch
from torch import nn


class InputBuffer(nn.Module):
    """Rows [tokens, width] that one decoder stack reads, and may write.

    Each stack has a buffer of its own, for two reasons that are seen on a GPU alone:

    - A piecewise CUDA graph replays with the addresses it was captured with. vLLM checks them in debug logging only, so
      a stack that is handed a new tensor reads what the old one's memory holds by now.
    - vLLM's fused norms work in place, and the first residual *is* the input: after a stack has run, its input holds
      its last residual. Whatever else needs the input must have been copied before.
    """

    rows: torch.Tensor

    def __init__(self, tokens: int, width: int, dtype: torch.dtype) -> None:
        """tokens: the most that a step may have, padding included."""
        super().__init__()
        self.register_buffer("rows", torch.zeros(tokens, width, dtype=dtype), persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The first rows, which now hold `values` [tokens, width]. Raises RuntimeError where they do not fit."""
        held = self.rows[: len(values)]
        held.copy_(values)
        return held

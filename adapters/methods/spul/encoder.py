"""The trainable part: what produces the soft prompt [rows, hidden].

Both forms start exactly at the rows they are given. After training only the rows they produce are kept.
"""

from __future__ import annotations

import torch
from torch import nn


class EmbeddingEncoder(nn.Module):
    """The rows themselves are the parameters (prompt tuning)."""

    def __init__(self, initial: torch.Tensor) -> None:
        """initial [rows, hidden], float32."""
        super().__init__()
        self.rows = nn.Parameter(initial.clone())

    def forward(self) -> torch.Tensor:
        """The soft prompt, [rows, hidden]."""
        return self.rows


class MlpEncoder(nn.Module):
    """P-tuning's re-parameterisation: rows = initial + MLP(embedding), the form SPUL was published with.

    Embedding(rows, d) → Linear(d, h) → ReLU → Linear(h, h) → ReLU → Linear(h, d). The published form has no
    `initial` term; with it, and a last layer of zeros, training can start from a text or a vocabulary. With
    zero `initial` rows torch's default initialisation is kept throughout, as published.
    """

    def __init__(self, initial: torch.Tensor, hidden: int) -> None:
        """initial [rows, d], float32; hidden: width of the two inner layers."""
        super().__init__()
        rows, width = initial.shape
        self.embedding = nn.Embedding(rows, width)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, width),
        )
        self.initial: torch.Tensor
        self.register_buffer("initial", initial.clone())
        if bool(initial.any()):
            for parameter in self.layers[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self) -> torch.Tensor:
        """The soft prompt, [rows, d]."""
        change: torch.Tensor = self.layers(self.embedding.weight)
        return self.initial + change

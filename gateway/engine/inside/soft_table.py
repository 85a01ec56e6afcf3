"""The table of soft-prompt rows that virtual token ids look up. Plain torch, so that it is tested without an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from gateway.engine.statement import UNKNOWN


@dataclass(frozen=True, slots=True)
class Owner:
    """What a row is: the row at `position` of the `size` rows of an adapter."""

    digest: str
    position: int
    size: int


class SoftTable(nn.Module):
    """[rows, hidden] buffer addressed by token ids V … V + rows − 1.

    A buffer, not a parameter: checkpoints do not carry it, and nothing trains it here.
    """

    table: torch.Tensor

    def __init__(self, rows: int, hidden_size: int, vocab_size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self._owners: dict[int, Owner] = {}
        #: Another one after each change of the table.
        self.version = 0
        self.register_buffer("table", torch.zeros(rows, hidden_size, dtype=dtype), persistent=False)

    def forward(self, input_ids: torch.Tensor, embed_tokens: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """[tokens] ids → [tokens, hidden]; `embed_tokens` serves the real ones."""
        virtual = input_ids >= self.vocab_size
        # Both look-ups always run, on clamped ids: no shape depends on the data, so graphs can be captured. And what a
        # sampler made of a row of NaN, before its request was ended, is looked up within bounds.
        embeds = embed_tokens(torch.where(virtual, 0, input_ids).clamp(min=0))
        rows = self.table[(input_ids - self.vocab_size).clamp(0, len(self.table) - 1)]
        return torch.where(virtual.unsqueeze(-1), rows.to(embeds.dtype), embeds)

    @torch.no_grad()
    def install(self, rows: Sequence[int], values: torch.Tensor, digest: str) -> None:
        """Write `values` [len(rows), hidden] into `rows`, which belong to the adapter of this digest from now on.

        Raises ValueError when the shape is another or a value is not finite: a NaN row would spread to every
        answer that uses it.
        """
        expected = (len(rows), self.table.shape[1])
        if tuple(values.shape) != expected:
            raise ValueError(f"soft prompt has shape {tuple(values.shape)}, this model needs {expected}")
        if any(not 0 <= row < self.table.shape[0] for row in rows):
            raise ValueError(f"row index outside the table of {self.table.shape[0]} rows")
        if not torch.isfinite(values).all():
            raise ValueError("soft prompt holds NaN or infinite values")
        index = torch.tensor(list(rows), device=self.table.device)
        self.table[index] = values.to(device=self.table.device, dtype=self.table.dtype)
        self._owners.update({row: Owner(digest, position, len(rows)) for position, row in enumerate(rows)})
        self.version += 1

    @torch.no_grad()
    def evict(self, rows: Sequence[int]) -> None:
        """Zero `rows`; they belong to no adapter any more."""
        self.table[torch.tensor(list(rows), device=self.table.device, dtype=torch.long)] = 0
        for row in rows:
            self._owners.pop(row, None)
        self.version += 1

    def digests_at(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Digests of the adapters that these rows are, in order, up to rows that are no whole adapter: `UNKNOWN`."""
        found: list[str] = []
        start = 0
        while start < len(rows):
            first = self._owners.get(rows[start])
            if first is None:
                return (*found, UNKNOWN)
            owners = [self._owners.get(row) for row in rows[start : start + first.size]]
            if owners != [Owner(first.digest, position, first.size) for position in range(first.size)]:
                return (*found, UNKNOWN)
            found.append(first.digest)
            start += first.size
        return tuple(found)

    def resident(self) -> dict[str, int]:
        """Rows that each adapter in the table has, by digest."""
        return dict(Counter(owner.digest for owner in self._owners.values()))

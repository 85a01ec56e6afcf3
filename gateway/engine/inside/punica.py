"""Multi-LoRA products on CPU, by adapter instead of by token.

vLLM 0.32's CPU wrapper gathers a copy of the LoRA matrices for every token, and gives a token without an adapter index
−1, which in its gather is the last slot: once all slots are filled, such a token in a mixed batch gets the last slot's
LoRA. Here the tokens of one adapter are multiplied together, and tokens without one are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU


@dataclass(frozen=True, slots=True)
class Group:
    """The tokens of one step that share an adapter: a slice where they are neighbours, else their indices."""

    slot: int
    tokens: slice | torch.Tensor


def group_tokens(slots: torch.Tensor) -> list[Group]:
    """Groups of slots [tokens]; tokens of slot −1 belong to none."""
    groups = []
    for slot in torch.unique(slots[slots >= 0]).tolist():
        indices = (slots == slot).nonzero().squeeze(-1)
        first, last = int(indices[0]), int(indices[-1])
        run = last - first + 1 == len(indices)
        groups.append(Group(int(slot), slice(first, last + 1) if run else indices))
    return groups


def used_rank(lora_a: torch.Tensor) -> int:
    """Rows of [max rank, in] that are not padding."""
    used = (lora_a != 0).any(-1).nonzero()
    return int(used[-1]) + 1 if len(used) else 0


class GroupedPunicaWrapper(PunicaWrapperCPU):
    """vLLM's CPU wrapper with its linear products replaced."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups: list[Group] = []
        self._slots: tuple[int | None, ...] = ()
        self._ranks: dict[tuple[int, int, int], int] = {}

    def update_metadata(
        self, mapping: Any, lora_index_to_id: list[int | None], max_loras: int, vocab_size: int, **kwargs: Any
    ) -> None:
        """Once a step: which tokens each adapter has."""
        super().update_metadata(mapping, lora_index_to_id, max_loras, vocab_size, **kwargs)
        self._groups = group_tokens(self.token_lora_indices)
        if self._slots != tuple(lora_index_to_id):
            self._slots = tuple(lora_index_to_id)
            self._ranks.clear()

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **_kwargs: Any,
    ) -> None:
        """y[tokens, slice] += x @ Aᵀ @ Bᵀ · scale with each token's own A and B.

        A of each slice is [slots, 1, rank, in], B is [slots, 1, out, rank].
        """
        for group in self._groups:
            inputs = x[group.tokens]
            start = 0
            for lora_a, lora_b, size in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
                rank = self._rank(lora_a, group.slot)
                if rank:
                    low = torch.nn.functional.linear(inputs, lora_a[group.slot, 0, :rank])
                    change = torch.nn.functional.linear(low, lora_b[group.slot, 0, :, :rank])
                    y[group.tokens, start : start + size] += change if scale == 1.0 else change * scale
                start += size

    def _rank(self, lora_a: torch.Tensor, slot: int) -> int:
        # The version grows with each write: another adapter may come into the slot under the same id.
        key = (lora_a.data_ptr(), slot, 0 if lora_a.is_inference() else lora_a._version)
        if key not in self._ranks:
            self._ranks[key] = used_rank(lora_a[slot, 0])
        return self._ranks[key]

"""The room that an adapter takes in the engine that serves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Footprint:
    """Soft rows of the engine's table, and the ranks of the LoRAs on the pair and on the target; 0 says there is none.

    An adapter may have a soft prompt, an offset, a LoRA on the target, or several of them.
    """

    rows: int = 0
    offset_rank: int = 0
    target_rank: int = 0

    @property
    def rank(self) -> int:
        """The larger of the two ranks: what the engine's LoRA slots must take."""
        return max(self.offset_rank, self.target_rank)


NO_ROOM = Footprint()

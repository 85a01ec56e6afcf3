"""What the model that is to forget said before, for a trainer to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.chat import TokenizedExample
from adapters.prompted import PromptedModel, collate

_CHUNK = 32


class OriginalStates:
    """The model's answers before anything is trained, computed once.

    Kept are its final hidden states at the answer positions, [positions, hidden] an example, rather than
    logits: the frozen head turns them into exactly the same logits, at a hundredth of the memory.
    """

    def __init__(self, model: PromptedModel, examples: Sequence[TokenizedExample], shared: int) -> None:
        examples = list(dict.fromkeys(examples))
        self._states: dict[TokenizedExample, torch.Tensor] = {}
        with torch.no_grad():
            for start in range(0, len(examples), _CHUNK):
                chunk = examples[start : start + _CHUNK]
                batch = collate(chunk, shared)
                states = model.states(batch, None)
                self._states.update({item: states[batch.rows == row] for row, item in enumerate(chunk)})

    def of(self, examples: Sequence[TokenizedExample]) -> torch.Tensor:
        """States of the examples one after another, [positions, hidden]."""
        return torch.cat([self._states[example] for example in examples])

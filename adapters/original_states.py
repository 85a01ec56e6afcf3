"""What the model that is to forget said before, for a trainer to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.chat import TokenizedExample
from adapters.prompted import PromptedModel

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
                batch = model.collate(chunk, shared)
                states = model.states(batch, None)
                own = torch.split(states, [len(example.answer_ids) for example in chunk])
                self._states.update(zip(chunk, own, strict=True))

    def of(self, examples: Sequence[TokenizedExample]) -> torch.Tensor:
        """States of the examples one after another, [positions, hidden]."""
        return torch.cat([self._states[example] for example in examples])

"""What the model that is to forget said before, for a trainer to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.chat import TokenizedExample
from adapters.prompted import PromptedModel


class OriginalStates:
    """The model's answers before anything is trained, computed once.

    Kept are its final hidden states at the answer positions, [positions, hidden] an example, rather than
    logits: the frozen head turns them into exactly the same logits, at a hundredth of the memory.
    """

    def __init__(self, model: PromptedModel, examples: Sequence[TokenizedExample], shared: int) -> None:
        examples = list(dict.fromkeys(examples))
        self._states: dict[TokenizedExample, torch.Tensor] = {}
        if examples:
            with torch.no_grad():
                states = model.answer_states(examples, shared)
            own = torch.split(states, [len(example.answer_ids) for example in examples])
            self._states.update(zip(examples, own, strict=True))

    def of(self, examples: Sequence[TokenizedExample]) -> torch.Tensor:
        """States of the examples one after another, [positions, hidden]."""
        return torch.cat([self._states[example] for example in examples])

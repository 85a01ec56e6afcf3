"""What the model that is to forget said before, for a trainer to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample


class OriginalStates:
    """The model's answers before anything is trained, as `PromptedModel.original_states`."""

    def __init__(self, model: PromptedModel, examples: Sequence[TokenizedExample], shared: int) -> None:
        self._states = dict(zip(examples, model.original_states(examples, shared), strict=True))

    def of(self, examples: Sequence[TokenizedExample]) -> torch.Tensor:
        """States of the examples one after another, [positions, hidden]."""
        return torch.cat([self._states[example] for example in examples])

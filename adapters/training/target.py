"""The target itself in training: LoRAs on its decoder layers, beside what it said without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch

from adapters.models.counterfactual import said_of_others
from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, attach, detach
from adapters.models.original_states import OriginalStates
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View, cut_views


class TrainableTarget:
    """W x + B A x in every linear layer of the decoder; embedding, norms and head stay as they are.

    As a context it ends with the model as it was. The original is run once for each example, before the LoRA is
    attached; after that a step runs the changed model alone.
    """

    def __init__(self, model: PromptedModel, rank: int, examples: Sequence[TokenizedExample], shared: int) -> None:
        """Changes `model` in place. examples: all that views are asked for. shared: length of their common prefix."""
        self._model = model
        self._shared = shared
        about_others = [each.example for example in examples for each in example.counterfactuals]
        self._original = OriginalStates(model, examples, shared)
        self._others = dict(zip(about_others, model.original_states(about_others, shared), strict=True))
        self.lora: Mapping[str, LoraLinear] = attach(model.model, rank)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        detach(self._model.model, self.lora)

    def views(
        self, groups: Mapping[str, Sequence[TokenizedExample]], first_token_weight: float = 1.0
    ) -> dict[str, View]:
        """What an objective sees of each named group, in one pass over all of them: logits of the changed model, and of
        the original at the same positions."""
        examples = [example for group in groups.values() for example in group]
        batch = self._model.collate(examples, self._shared)
        logits = self._model.logits(self._model.answer_states(examples, self._shared))
        with torch.no_grad():
            original = self._model.logits(self._original.of(examples))  # the head is nobody's to change
            teacher = said_of_others(self._model, examples, original, self._others)
        return cut_views(groups, batch, logits, original, first_token_weight, teacher)

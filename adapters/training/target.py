"""The target itself in training: LoRAs on its decoder layers, beside what it said without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, attach, detach
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View
from adapters.training.views import TargetViews


class TrainableTarget:
    """W x + B A x in every linear layer of the decoder; embedding, norms and head stay as they are.

    As a context it ends with the model as it was. The original is run before the LoRA is attached.
    """

    def __init__(self, model: PromptedModel, rank: int, examples: Sequence[TokenizedExample], shared: int) -> None:
        """Changes `model` in place. examples: all that views are asked for. shared: length of their common prefix."""
        self._model = model
        self._views = TargetViews(model, examples, shared)
        self.lora: Mapping[str, LoraLinear] = attach(model.model, rank)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        detach(self._model.model, self.lora)

    def views(
        self, groups: Mapping[str, Sequence[TokenizedExample]], first_token_weight: float = 1.0
    ) -> dict[str, View]:
        """What an objective sees of each named group, as `TargetViews.of` has it."""
        return self._views.of(groups, first_token_weight)

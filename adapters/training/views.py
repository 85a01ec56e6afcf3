"""What an objective sees of the target while something beside its own weights is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from adapters.models.counterfactual import said_of_others, states_of_others
from adapters.models.frozen import PromptedModel
from adapters.models.original_states import OriginalStates
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View, cut_views


class TargetViews:
    """The target as it answers now, beside what it said before and what it says of others.

    The original is run once for each example, here; after that a step runs the changed model alone.
    """

    def __init__(self, model: PromptedModel, examples: Sequence[TokenizedExample], shared: int) -> None:
        """model: nothing has changed it yet. examples: all that views are asked for. shared: length of their common
        prefix."""
        self._model = model
        self._shared = shared
        self._original = OriginalStates(model, examples, shared)
        self._others = states_of_others(model, examples, shared)

    def of(
        self,
        groups: Mapping[str, Sequence[TokenizedExample]],
        first_token_weight: float = 1.0,
        soft: torch.Tensor | None = None,
    ) -> dict[str, View]:
        """What an objective sees of each named group, in one pass over all of them: logits of the model behind the soft
        rows [rows, hidden], where there are such, and of the original without any at the same positions."""
        examples = [example for group in groups.values() for example in group]
        batch = self._model.collate(examples, self._shared)
        logits = self._model.logits(self._model.answer_states(examples, self._shared, soft))
        with torch.no_grad():
            original = self._model.logits(self._original.of(examples))  # the head is nobody's to change
            teacher = said_of_others(self._model, examples, original, self._others)
        return cut_views(groups, batch, logits, original, first_token_weight, teacher)

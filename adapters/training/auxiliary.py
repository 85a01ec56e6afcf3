"""A small model of the pair that is trained on its own: ULD's assistant, Divergence Decoding's auxiliaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from adapters.artifact.spec import PairSpec
from adapters.models.frozen import PromptedModel
from adapters.models.lora import attach
from adapters.models.pair import pair_model
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View, cut_views


class Auxiliary:
    """One half of a pair with a LoRA of its own; the target takes no part in its training."""

    def __init__(self, target: PromptedModel, source: PairSpec, rank: int) -> None:
        """Raises `InvalidConfig` for a pair that does not fit the target."""
        self.model = pair_model(target, source)
        self.lora = attach(self.model.model, rank)

    def states(self, examples: Sequence[TokenizedExample], shared: int) -> torch.Tensor:
        """Final states where the answers are predicted, [positions, hidden]. shared: length of the common prefix."""
        return self.model.answer_states(examples, shared)

    def views(
        self, groups: Mapping[str, Sequence[TokenizedExample]], shared: int, first_token_weight: float = 1.0
    ) -> dict[str, View]:
        """What an objective sees of each named group, in one pass over all of them: this model's own logits.

        `original` is empty, [positions, 0]: there is nothing to compare with.
        """
        examples = [example for group in groups.values() for example in group]
        batch = self.model.collate(examples, shared)
        logits = self.model.logits(self.states(examples, shared))
        return cut_views(groups, batch, logits, logits.new_empty(len(logits), 0), first_token_weight)

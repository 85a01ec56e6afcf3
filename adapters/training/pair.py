"""The pair of δ-unlearning in training: an offset stack that takes LoRAs, beside the frozen target it is added to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from adapters.artifact.spec import PairSpec
from adapters.models.counterfactual import said_of_others, states_of_others
from adapters.models.frozen import PromptedModel
from adapters.models.lora import LoraLinear, attach
from adapters.models.pair import pair_model
from adapters.models.tokens import TokenizedExample
from adapters.objectives.view import View, cut_views


@dataclass(frozen=True, slots=True)
class _Cached:
    """Final states at one example's answer positions, [positions, hidden] of the target and of the pair.

    Kept instead of logits: the frozen heads turn them into exactly the same logits.
    """

    target: torch.Tensor
    reference: torch.Tensor


class TrainablePair:
    """The combined model: frozen target, frozen reference, and an offset whose LoRA is trained.

    Target and reference are run once for each example, by `remember`; after that a step runs the offset alone.
    """

    def __init__(self, target: PromptedModel, source: PairSpec, rank: int) -> None:
        """Raises `InvalidConfig` for a pair that does not fit the target."""
        self.target = target
        self.shares_head = bool(source.layers)
        self.offset = pair_model(target, source)
        self._rank = rank
        self._lora: dict[str, LoraLinear] | None = None
        self._cache: dict[TokenizedExample, _Cached] = {}
        self._others: dict[TokenizedExample, torch.Tensor] = {}
        self._settled: dict[tuple[TokenizedExample, ...], torch.Tensor] | None = None

    @property
    def lora(self) -> Mapping[str, LoraLinear]:
        """The trained layers by name; attached on first use, after which nothing more can be remembered."""
        if self._lora is None:
            self._lora = attach(self.offset.model, self._rank)
        return self._lora

    def remember(self, examples: Sequence[TokenizedExample], shared: int) -> None:
        """Run target and reference on the examples. The reference is the offset before any LoRA."""
        if self._lora is not None:
            raise RuntimeError("the reference can only be read before the LoRA is attached")
        new = [example for example in dict.fromkeys(examples) if example not in self._cache]
        self._others |= states_of_others(self.target, new, shared)
        read = [model.original_states(new, shared) for model in (self.target, self.offset)]
        self._cache |= {example: _Cached(*states) for example, *states in zip(new, *read, strict=True)}

    def views(
        self,
        groups: Mapping[str, Sequence[TokenizedExample]],
        shared: int,
        strength: float,
        first_token_weight: float = 1.0,
    ) -> dict[str, View]:
        """What an objective sees of each named group, in one pass over all of them.

        logits are the combined model's: target + strength · (offset − reference).
        """
        examples = [example for group in groups.values() for example in group]
        batch = self.offset.collate(examples, shared)
        states = self._offset_states(examples, shared)
        target = torch.cat([self._cache[example].target for example in examples])
        reference = torch.cat([self._cache[example].reference for example in examples])
        logits = self.combined(target, strength * (states - reference))
        with torch.no_grad():
            original = self.target.logits(target)
            teacher = said_of_others(self.target, examples, original, self._others)
        return cut_views(groups, batch, logits, original, first_token_weight, teacher)

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Inside nothing is trained, and what the offset makes of the same examples is computed once."""
        self._settled = {}
        try:
            yield
        finally:
            self._settled = None

    def _offset_states(self, examples: Sequence[TokenizedExample], shared: int) -> torch.Tensor:
        if self._settled is None:
            return self.offset.answer_states(examples, shared)
        key = tuple(examples)
        if key not in self._settled:
            self._settled[key] = self.offset.answer_states(examples, shared)
        return self._settled[key]

    def combined(self, target: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """Logits [positions, vocabulary] of the target's states and the offset's, as the engine computes them."""
        if self.shares_head:
            return self.target.logits(target + offset.to(target.dtype))
        return self.target.logits(target) + self.offset.logits(offset)

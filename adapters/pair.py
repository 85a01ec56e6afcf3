"""The pair of δ-unlearning in training: an offset stack that takes LoRAs, beside the frozen target it is added to."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from adapters.chat import TokenizedExample
from adapters.errors import InvalidConfig
from adapters.lora import LoraLinear, attach
from adapters.objectives.reduction import position_weights
from adapters.objectives.view import View
from adapters.pair_source import PairSource
from adapters.prompted import Batch, PromptedModel


def first_layers(model: Any, layers: int) -> Any:
    """A model of the first `layers` decoder layers, new modules around the same weights; embedding, norm and head are
    shared.

    Raises `InvalidConfig` when the model has too few layers, caps its logits, or keeps its layers elsewhere.
    """
    config = model.config.get_text_config()
    if not 0 < layers <= config.num_hidden_layers:
        raise InvalidConfig(f"the model has {config.num_hidden_layers} layers; a pair of {layers} cannot be taken")
    if getattr(config, "final_logit_softcapping", None):
        raise InvalidConfig("this model caps its logits, so an offset cannot be added to its states")
    body = model.get_decoder()
    if not isinstance(getattr(body, "layers", None), nn.ModuleList):
        raise InvalidConfig(f"{type(model).__name__} does not keep its decoder layers in `layers`")
    name = next(name for name, module in model.named_modules() if module is body)
    if not name or "." in name:
        raise InvalidConfig(f"{type(model).__name__} does not hold its decoder itself, so no pair can be taken from it")
    # Shallow copies of the two outer modules, so that replacing their parts leaves the target alone. The layers are
    # modules of their own, for LoRAs to be attached to, around the same weights, which nobody changes.
    short, short_body = _shallow(model), _shallow(body)
    short.config = short_body.config = copy.deepcopy(model.config)
    short.config.num_hidden_layers = layers
    weights = {id(tensor): tensor for layer in body.layers[:layers] for tensor in _tensors(layer)}
    short_body.layers = nn.ModuleList(copy.deepcopy(layer, dict(weights)) for layer in body.layers[:layers])
    setattr(short, name, short_body)
    return short


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _shallow(module: Any) -> Any:
    clone = copy.copy(module)
    clone._modules = dict(module._modules)
    return clone


def pair_model(target: PromptedModel, source: PairSource) -> PromptedModel:
    """A new copy of the small model that both halves of a pair start from; the target's head is shared where it can be.

    Raises `InvalidConfig` for a pair that does not fit the target.
    """
    if source.model_path is None:
        return PromptedModel(
            first_layers(target.model, source.spec.layers), target.stored_dtype, target.hardware, target.batches
        )
    model = PromptedModel.load(source.model_path, target.hardware, target.batches)
    ours, theirs = len(target.head.weight), len(model.head.weight)
    if ours != theirs:
        raise InvalidConfig(f"the pair's vocabulary has {theirs} tokens, the target's {ours}")
    return model


def cut_views(
    groups: Mapping[str, Sequence[TokenizedExample]],
    batch: Batch,
    logits: torch.Tensor,
    original: torch.Tensor,
    first_token_weight: float,
) -> dict[str, View]:
    """Each named group's part of a batch that holds all of them one after another, in the order of `groups`.

    logits, original [positions, vocabulary]: of the batch.
    """
    weights = position_weights(batch.rows, first_token_weight)
    views, first, start = {}, 0, 0
    for name, group in groups.items():
        mine = slice(start, start + sum(len(example.answer_ids) for example in group))
        owner = batch.rows[mine] - first
        views[name] = View(
            logits[mine], original[mine], batch.targets[mine], owner, len(group), weights[mine], batch.fact[mine]
        )
        first, start = first + len(group), mine.stop
    return views


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

    def __init__(self, target: PromptedModel, source: PairSource, rank: int) -> None:
        """Raises `InvalidConfig` for a pair that does not fit the target."""
        self.target = target
        self.shares_head = source.model_path is None
        self.offset = pair_model(target, source)
        self._rank = rank
        self._lora: dict[str, LoraLinear] | None = None
        self._cache: dict[TokenizedExample, _Cached] = {}
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
        return cut_views(groups, batch, logits, original, first_token_weight)

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

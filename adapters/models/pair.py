"""The small model that both halves of a pair start from: a checkpoint of its own, or the target's first layers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapters.artifact.spec import PairSpec
from adapters.errors import InvalidConfig
from adapters.models.frozen import PromptedModel


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


def pair_model(target: PromptedModel, source: PairSpec) -> PromptedModel:
    """A new copy of the small model that both halves of a pair start from; the target's head is shared where it can be.

    Raises `InvalidConfig` for a pair that does not fit the target.
    """
    if source.layers:
        return PromptedModel(
            first_layers(target.model, source.layers), target.stored_dtype, target.hardware, target.batches
        )
    model = PromptedModel.load(Path(source.model), target.hardware, target.batches)
    ours, theirs = len(target.head.weight), len(model.head.weight)
    if ours != theirs:
        raise InvalidConfig(f"the pair's vocabulary has {theirs} tokens, the target's {ours}")
    return model

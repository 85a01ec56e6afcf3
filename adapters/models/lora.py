"""Low-rank changes of linear layers (Hu et al., 2021): W x + B A x, with A and B trained and W frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class LoraLinear(nn.Module):
    """A frozen linear layer with a low-rank change; exactly the layer itself until trained, for B starts at zero.

    The published factor lora_alpha / r is part of B here, so that served weights need no scale beside them.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        weight = base.weight
        # Drawn on the CPU, so that a seed means the same on every device.
        drawn = nn.init.kaiming_uniform_(torch.empty(rank, base.in_features, dtype=torch.float32), a=math.sqrt(5))
        self.lora_a = nn.Parameter(drawn.to(weight.device))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank, dtype=torch.float32, device=weight.device))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """[…, in] → […, out]."""
        low = nn.functional.linear(inputs, self.lora_a.to(inputs.dtype))
        output: torch.Tensor = self.base(inputs) + nn.functional.linear(low, self.lora_b.to(inputs.dtype))
        return output


def attach(model: nn.Module, rank: int) -> dict[str, LoraLinear]:
    """Replace every linear layer inside the model's decoder layers; returns the new layers by full name.

    The head is left alone: vocabulary-sized changes would dwarf all others.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".layers." in f".{name}"
    }
    attached = {}
    for name, module in found.items():
        parent, _, leaf = name.rpartition(".")
        lora = LoraLinear(module, rank)
        setattr(model.get_submodule(parent), leaf, lora)
        attached[name] = lora
    return attached


def detach(model: nn.Module, layers: Mapping[str, LoraLinear]) -> None:
    """Put the layers that `attach` replaced back; what was trained is in `layers` still."""
    for name, lora in layers.items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, lora.base)


def parameters(layers: Mapping[str, LoraLinear]) -> list[nn.Parameter]:
    """What is trained."""
    return [parameter for layer in layers.values() for parameter in (layer.lora_a, layer.lora_b)]


def changes(layers: Mapping[str, LoraLinear]) -> dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """{name: (W [out, in], A [rank, in], B [out, rank])}, the parameters themselves."""
    return {name: (layer.base.weight, layer.lora_a, layer.lora_b) for name, layer in layers.items()}


def state(layers: Mapping[str, LoraLinear], prefix: str) -> dict[str, torch.Tensor]:
    """{prefix.name.lora_A: [rank, in], prefix.name.lora_B: [out, rank]}, copies, float32."""
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{prefix}.{name}.lora_A"] = layer.lora_a.detach().clone()
        tensors[f"{prefix}.{name}.lora_B"] = layer.lora_b.detach().clone()
    return tensors


def load_state(layers: Mapping[str, LoraLinear], prefix: str, tensors: Mapping[str, Any]) -> None:
    """Put back what `state` gave. Raises KeyError for a layer that is missing."""
    with torch.no_grad():
        for name, layer in layers.items():
            layer.lora_a.copy_(tensors[f"{prefix}.{name}.lora_A"])
            layer.lora_b.copy_(tensors[f"{prefix}.{name}.lora_B"])

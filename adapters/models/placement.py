"""Loading a checkpoint onto a device: the whole of it, or its first layers, with the others read when they are run.

A pair is made of the target's first layers, embedding, norm and head, and the rest is needed for one pass over the
examples. So a target may be far larger than the device.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapters.errors import InvalidConfig
from adapters.models.hardware import Hardware

logger = logging.getLogger(__name__)


def load_whole(path: Path, hardware: Hardware) -> tuple[Any, torch.dtype]:
    """(the model on the device, the format it is stored in)."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype="auto", local_files_only=True)
    stored: torch.dtype = model.dtype
    model.to(hardware.device, hardware.compute_dtype(stored))
    return model, stored


def load_streamed(path: Path, hardware: Hardware, layers: int) -> tuple[Any, torch.dtype]:
    """(the model, the format it is stored in) with only its first `layers` decoder layers, embedding, norm and head on
    the device: a later layer is read from the checkpoint each time it is run, and given up again.

    No gradient crosses a layer that is read; nothing is written anywhere. Raises `InvalidConfig` where the model does
    not keep its layers in `layers` of its own decoder.
    """
    from accelerate import init_empty_weights  # type: ignore[import-untyped]
    from accelerate.hooks import remove_hook_from_module  # type: ignore[import-untyped]
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(path, local_files_only=True)
    stored = config.dtype if isinstance(config.dtype, torch.dtype) else torch.float32
    with init_empty_weights():
        empty: Any = AutoModelForCausalLM.from_config(config)
    names = dict((id(module), name) for name, module in empty.named_modules())
    body = empty.get_decoder()
    own = names[id(body)]
    if not own or "." in own or not isinstance(getattr(body, "layers", None), nn.ModuleList):
        raise InvalidConfig(f"{type(empty).__name__} does not hold its layers so that they can be read one at a time")
    device = str(hardware.device)
    placed: dict[str, str] = {name: device for name, _ in empty.named_children() if name != own}
    placed |= {f"{own}.{name}": device for name, _ in body.named_children() if name != "layers"}
    placed |= {f"{own}.layers.{number}": device if number < layers else "disk" for number in range(len(body.layers))}
    model: Any = AutoModelForCausalLM.from_pretrained(
        path, dtype=hardware.compute_dtype(stored), local_files_only=True, device_map=placed, offload_buffers=False
    )
    # What stays on the device needs no hook, and copies of it, of which a pair is made, would be sent to the original.
    read = model.get_decoder().layers[layers:]
    for module in model.modules():
        if not any(module is inner for layer in read for inner in layer.modules()):
            remove_hook_from_module(module, recurse=False)
    return model, stored

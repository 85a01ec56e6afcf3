"""The layers that tell each token the constants of its adapter; see `combine`."""

from __future__ import annotations

import torch
from torch import nn
from vllm.model_executor.layers.linear import ReplicatedLinear

from gateway.engine.inside.combine import RULE_WIDTH


def rule_layer(dtype: torch.dtype) -> ReplicatedLinear:
    """[tokens, RULE_WIDTH] of ones → [tokens, RULE_WIDTH]: zeros, but for what a LoRA on this layer adds."""
    layer = ReplicatedLinear(RULE_WIDTH, RULE_WIDTH, bias=False, params_dtype=dtype, return_bias=False)
    nn.init.zeros_(layer.weight)
    return layer

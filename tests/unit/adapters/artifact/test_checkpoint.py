from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from adapters.artifact.checkpoint import CheckpointWeights
from tests.unit.adapters.conftest import save_model


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_bytes_are_those_of_the_models_weights(tmp_path: Path, dtype: torch.dtype, size: int) -> None:
    path = save_model(tmp_path, dtype=dtype, num_hidden_layers=11)
    weights, model = CheckpointWeights.of(path), LlamaForCausalLM.from_pretrained(path)
    assert weights.total == size * sum(parameter.numel() for parameter in model.parameters())
    layer = size * sum(parameter.numel() for parameter in model.model.layers[0].parameters())
    assert weights.layers == (layer,) * 11
    assert weights.first(0) == weights.rest
    assert weights.first(3) == weights.rest + 3 * layer
    assert weights.first(11) == weights.total
    assert weights.is_bfloat16 == (dtype is torch.bfloat16)

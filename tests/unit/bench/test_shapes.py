"""A checkpoint with random weights loads whole, and is the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from bench import shapes


@pytest.fixture
def small() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=50_000,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=False,
        dtype=torch.bfloat16,
        architectures=["LlamaForCausalLM"],
    )


def test_every_weight_is_there_in_several_files(
    small: LlamaConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "_SHARD_BYTES", 1 << 20)
    first, again = (shapes.write(small, tmp_path / name) for name in ("first", "again"))
    assert len(list(first.glob("*.safetensors"))) > 1
    model, twin = (LlamaForCausalLM.from_pretrained(folder) for folder in (first, again))
    weights = model.state_dict()
    assert all(torch.equal(tensor, twin.state_dict()[name]) for name, tensor in weights.items())
    assert weights["lm_head.weight"].float().std() == pytest.approx(0.02, rel=0.05)
    assert bool((weights["model.norm.weight"] == 1).all())
    assert len(AutoTokenizer.from_pretrained(first)) <= small.vocab_size


def test_the_named_shape_has_eight_thousand_million_weights() -> None:
    with torch.device("meta"):
        model = LlamaForCausalLM(shapes.SHAPES["llama-8b"])
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(8.03e9, rel=0.01)

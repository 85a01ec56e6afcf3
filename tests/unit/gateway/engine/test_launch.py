"""Flags that would open a way around the gateway are refused; the wrapper is laid out from the model's config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from gateway.engine.launch import RESERVED_FLAGS, InvalidEngineArguments, plan_engine
from gateway.engine.layout import Layout


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    LlamaConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, architectures=["LlamaForCausalLM"]
    ).save_pretrained(tmp_path)
    return str(tmp_path)


def plan(checkpoint: str, *extra: str, **sizes: int) -> Any:
    return plan_engine(
        checkpoint,
        served_name="tiny",
        soft_rows=sizes.get("soft_rows", 64),
        prompt_budget=sizes.get("prompt_budget", 32),
        extra_args=extra,
        default_model=False,
    )


def test_the_wrapper_is_laid_out_from_the_models_own_config(checkpoint: str) -> None:
    made = plan(checkpoint, "--max-model-len", "128")
    assert made.layout == Layout(("LlamaForCausalLM",), vocab_size=500, soft_rows=64)
    assert made.hidden_size == 32
    assert made.args.hf_overrides["vocab_size"] == 564
    assert made.args.max_model_len == 128
    assert made.args.served_model_name == ["tiny"]


def test_overrides_of_the_operator_are_kept_beside_ours(checkpoint: str) -> None:
    made = plan(checkpoint, "--hf-overrides", '{"rope_theta": 5.0, "vocab_size": 7}')
    assert made.args.hf_overrides["rope_theta"] == 5.0
    assert made.args.hf_overrides["vocab_size"] == 564


@pytest.mark.parametrize("flag", sorted(RESERVED_FLAGS))
@pytest.mark.parametrize("form", ["{}", "{}=x"])
def test_reserved_flags(checkpoint: str, flag: str, form: str) -> None:
    for spelling in (flag, flag.replace("-", "_").replace("__", "--", 1)):
        with pytest.raises(InvalidEngineArguments, match=flag):
            plan(checkpoint, form.format(spelling), "x")


def test_a_table_smaller_than_the_budget(checkpoint: str) -> None:
    with pytest.raises(InvalidEngineArguments, match="smaller"):
        plan(checkpoint, soft_rows=16, prompt_budget=32)


def test_layout_round_trip() -> None:
    layout = Layout(("A", "B"), vocab_size=10, soft_rows=4)

    class Config:
        unlearning = layout.hf_overrides()["unlearning"]

    assert Layout.from_hf_config(Config()) == layout
    assert layout.virtual_ids([0, 3]) == [10, 13]
    with pytest.raises(ValueError, match="unlearn serve"):
        Layout.from_hf_config(object())

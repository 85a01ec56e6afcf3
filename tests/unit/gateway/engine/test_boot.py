"""Flags that would open a way around the gateway are refused; wrapper and pair are laid out from the configs."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import Gemma2Config, Gemma3TextConfig, LlamaConfig, PreTrainedConfig

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine.boot import (
    RESERVED_FLAGS,
    InvalidEngineArguments,
    PairOptions,
    checkpoint_digest,
    keep_to_loopback,
    keeps_target_compiled,
    on_one_host,
    pair_spec,
    plan_engine,
    plan_pair,
    set_environment,
)
from gateway.engine.layout import Layout, PairLayout

NO_PAIR = PairOptions(layers=0, model=None, own_reference=False, slots=4, rank=64)
UNASKED = replace(NO_PAIR, layers=None)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    LlamaConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, architectures=["LlamaForCausalLM"]
    ).save_pretrained(tmp_path)
    return str(tmp_path)


def plan(checkpoint: str, *extra: str, pair: PairOptions = NO_PAIR, **sizes: int) -> Any:
    return plan_engine(
        checkpoint,
        served_name="tiny",
        soft_rows=sizes.get("soft_rows", 64),
        prompt_budget=sizes.get("prompt_budget", 32),
        pair=pair,
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


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--pipeline-parallel-size", "2"), "one worker; use --tensor-parallel-size"),
        (("-pp", "2"), "--pipeline-parallel-size 2"),
        (("--data-parallel-size=2",), "share REDIS_URL"),
        (("-dp", "4"), "--data-parallel-size 4"),
        (("--enable-dbo",), "input buffers"),
        (("--ubatch-size", "2"), "input buffers"),
    ],
)
def test_an_engine_spread_in_a_way_that_adapters_do_not_survive(
    checkpoint: str, flags: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InvalidEngineArguments, match=reason):
        plan(checkpoint, *flags)


def test_tensor_parallelism_is_passed_on(checkpoint: str) -> None:
    assert plan(checkpoint, "--tensor-parallel-size", "2").args.tensor_parallel_size == 2


def test_a_table_smaller_than_the_budget(checkpoint: str) -> None:
    with pytest.raises(InvalidEngineArguments, match="smaller"):
        plan(checkpoint, soft_rows=16, prompt_budget=32)


def test_without_a_pair_there_are_no_loras(checkpoint: str) -> None:
    made = plan(checkpoint)
    assert made.layout.pair is None
    assert not made.args.enable_lora


@pytest.mark.parametrize(("slots", "on_host"), [(2, 32), (48, 48)])
def test_a_pair_is_served_through_loras(checkpoint: str, slots: int, on_host: int) -> None:
    made = plan(checkpoint, pair=replace(NO_PAIR, layers=1, slots=slots, rank=128))
    assert made.layout.pair == PairLayout(1)
    assert made.args.hf_overrides["unlearning"]["pair"]["layers"] == 1
    assert made.args.hf_overrides["vocab_size"] == made.layout.fault_id + 1
    args = made.args
    assert (args.enable_lora, args.max_loras, args.max_lora_rank, args.max_cpu_loras) == (True, slots, 128, on_host)


def llama(**changes: Any) -> LlamaConfig:
    values = {"vocab_size": 500, "hidden_size": 32, "num_attention_heads": 2, "architectures": ["LlamaForCausalLM"]}
    return LlamaConfig(**(values | changes))


def pair_of(config: PreTrainedConfig, options: PairOptions) -> PairLayout | None:
    return plan_pair(config, "tiny", options, trust_remote_code=False)


@pytest.mark.parametrize(("depth", "layers"), [(1, 1), (2, 2), (6, 2), (12, 3), (30, 8), (32, 8)])
def test_unless_told_otherwise_the_pair_is_a_quarter_of_the_target(depth: int, layers: int) -> None:
    config = llama(num_hidden_layers=depth)
    assert pair_of(config, UNASKED) == PairLayout(layers)
    assert pair_of(config, replace(UNASKED, own_reference=True)) == PairLayout(layers, own_reference=True)


def test_the_layers_asked_for() -> None:
    config = llama(num_hidden_layers=4)
    assert pair_of(config, replace(NO_PAIR, layers=4)) == PairLayout(4)
    assert pair_of(config, NO_PAIR) is None
    with pytest.raises(InvalidEngineArguments, match="offset_layers is 5, and tiny has 4 layers"):
        pair_of(config, replace(NO_PAIR, layers=5))


def test_a_target_that_caps_its_logits_has_a_pair_only_on_demand_and_then_none() -> None:
    config = Gemma2Config(num_hidden_layers=8)
    assert pair_of(config, UNASKED) is None
    assert pair_of(config, NO_PAIR) is None
    with pytest.raises(InvalidEngineArguments, match="caps its logits"):
        pair_of(config, replace(NO_PAIR, layers=2))


@pytest.mark.parametrize("architectures", [["Gemma3ForCausalLM"], ["NobodyKnowsItForCausalLM"], None])
def test_a_target_that_gives_out_no_inner_state_is_served_without_a_pair_unless_one_is_asked_for(
    architectures: list[str] | None,
) -> None:
    config = Gemma3TextConfig(num_hidden_layers=8, architectures=architectures)
    assert pair_of(config, UNASKED) is None
    assert pair_of(config, replace(UNASKED, own_reference=True)) == PairLayout(2, own_reference=True)
    assert pair_of(config, replace(NO_PAIR, layers=3)) == PairLayout(3), "the engine says why that cannot be"


def separate(folder: Path, config: PreTrainedConfig, **changes: Any) -> PairOptions:
    """Options for a pair of this model; a folder with its config and a few weights."""
    config.save_pretrained(folder)
    save_file({"weight": torch.zeros(2)}, folder / "model.safetensors")
    return replace(UNASKED, model=str(folder), **changes)


def test_a_separate_model(tmp_path: Path) -> None:
    options = separate(tmp_path, llama(hidden_size=8))
    expected = PairLayout(0, str(tmp_path), ("LlamaForCausalLM",))
    for layers in (None, 0):
        assert pair_of(llama(), replace(options, layers=layers)) == expected
    assert pair_of(llama(), replace(options, own_reference=True)) == replace(expected, own_reference=True)
    layout = Layout(("LlamaForCausalLM",), 500, 64, expected)
    digests = CheckpointDigests(tmp_path / "cache")
    assert pair_spec(layout, digests) == PairSpec(0, model_digest(tmp_path))
    assert checkpoint_digest(str(tmp_path), digests) == model_digest(tmp_path)


def test_layers_or_a_model_but_not_both(tmp_path: Path) -> None:
    options = separate(tmp_path, llama(), layers=2)
    with pytest.raises(InvalidEngineArguments, match="offset_layers or offset_model"):
        pair_of(llama(), options)


@pytest.mark.parametrize(
    ("small", "reason"),
    [
        (llama(vocab_size=499), "a vocabulary of 499 tokens, tiny one of 500"),
        (llama(max_position_embeddings=1024), "1024 positions, tiny 2048"),
        (Gemma2Config(vocab_size=500), "caps its logits"),
    ],
)
def test_a_separate_model_that_does_not_fit(tmp_path: Path, small: PreTrainedConfig, reason: str) -> None:
    with pytest.raises(InvalidEngineArguments, match=reason):
        pair_of(llama(), separate(tmp_path, small))


def test_a_separate_model_for_a_target_that_caps_its_logits(tmp_path: Path) -> None:
    options = separate(tmp_path, llama(max_position_embeddings=8192))
    with pytest.raises(InvalidEngineArguments, match="caps its logits"):
        pair_of(Gemma2Config(vocab_size=500), options)


def test_the_pair_as_adapters_name_it(tmp_path: Path) -> None:
    digests = CheckpointDigests(tmp_path)
    assert pair_spec(Layout(("A",), 10, 4), digests) is None
    layers = Layout(("A",), 10, 4, PairLayout(3, own_reference=True))
    assert pair_spec(layers, digests) == PairSpec(3, own_reference=True)


@pytest.mark.parametrize("local", [True, False])
def test_the_hub_is_left_alone_when_every_model_is_on_disk(monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    monkeypatch.setattr("os.environ", {})
    set_environment(local)
    assert os.environ.get("HF_HUB_OFFLINE") == ("1" if local else None)


def offering(checkpoint: str, methods: Sequence[str], pair: PairOptions = NO_PAIR) -> Any:
    return plan_engine(
        checkpoint,
        served_name="tiny",
        soft_rows=64,
        prompt_budget=32,
        pair=pair,
        extra_args=(),
        default_model=False,
        methods=methods,
    )


def test_loras_on_the_target_need_no_pair(checkpoint: str) -> None:
    made = offering(checkpoint, ["lora"], replace(UNASKED, slots=2, rank=32))
    assert (made.layout.pair, made.layout.target_lora) == (None, True)
    assert (made.args.enable_lora, made.args.max_loras, made.args.max_lora_rank) == (True, 2, 32)
    assert made.args.hf_overrides["unlearning"]["target_lora"] is True
    assert made.args.hf_overrides["vocab_size"] == made.layout.fault_id + 1


def test_beside_them_there_may_be_a_pair(checkpoint: str) -> None:
    options = replace(NO_PAIR, layers=1, own_reference=True)
    layout = offering(checkpoint, ("spul", "delta", "lora"), options).layout
    assert (layout.pair, layout.target_lora) == (PairLayout(1, own_reference=True), True)


def test_without_delta_there_is_no_pair(checkpoint: str) -> None:
    assert offering(checkpoint, ["spul"], UNASKED).layout == Layout(("LlamaForCausalLM",), 500, 64)
    for asked in (replace(UNASKED, layers=1), replace(UNASKED, model="small")):
        with pytest.raises(InvalidEngineArguments, match="--methods does not offer delta"):
            offering(checkpoint, ["spul", "lora"], asked)


@pytest.mark.parametrize(("target_lora", "compiled"), [(False, True), (True, False)])
def test_a_target_that_takes_loras_is_not_compiled_on_cpu(target_lora: bool, compiled: bool) -> None:
    layout = Layout(("A",), 10, 4, PairLayout(1), target_lora)
    assert keeps_target_compiled(layout) is compiled


def test_without_a_pair_there_is_nothing_to_undo() -> None:
    assert not keeps_target_compiled(Layout(("A",), 10, 4))


@pytest.mark.parametrize(
    ("spread", "one_host"),
    [
        ({}, True),
        ({"distributed_executor_backend": "mp", "data_parallel_size": 2, "data_parallel_size_local": 2}, True),
        ({"nnodes": 2}, False),
        ({"data_parallel_size": 2}, False),
        ({"distributed_executor_backend": "ray"}, False),
        ({"distributed_executor_backend": "external_launcher"}, False),
    ],
)
def test_where_the_engines_processes_are(spread: dict[str, Any], one_host: bool) -> None:
    alone = {"nnodes": 1, "data_parallel_size": 1, "data_parallel_size_local": 1, "distributed_executor_backend": "uni"}
    assert on_one_host(SimpleNamespace(**alone | spread)) is one_host


def test_the_operator_may_name_the_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth1")
    keep_to_loopback()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth1"


#: Joins a group as vLLM's worker does, and prints where it listens.
_JOIN = """
import json, sys, psutil, torch.distributed as dist
from gateway.engine.boot import keep_to_loopback

keep_to_loopback()
dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", world_size=1, rank=0)
sockets = psutil.Process().net_connections("inet")
print(json.dumps([s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]))
dist.destroy_process_group()
"""


def test_a_group_of_the_engine_listens_on_loopback(tmp_path: Path) -> None:
    joined = subprocess.run(
        [sys.executable, "-c", _JOIN, str(tmp_path / "rendezvous")],
        env={name: value for name, value in os.environ.items() if name != "GLOO_SOCKET_IFNAME"},
        capture_output=True,
        text=True,
        check=True,
    )
    listening = json.loads(joined.stdout)
    assert listening
    assert all(ipaddress.ip_address(address).is_loopback for address in listening)


def test_spare_rows_are_beyond_those_of_requests(checkpoint: str) -> None:
    made = plan_engine(
        checkpoint,
        served_name="tiny",
        soft_rows=32,
        prompt_budget=32,
        pair=NO_PAIR,
        extra_args=(),
        default_model=False,
        spare_rows=16,
    )
    assert made.layout.soft_rows == 48
    assert made.args.hf_overrides["vocab_size"] == 548

"""Flags that would open a way around the gateway are refused; wrapper and pair are laid out from the configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import Gemma2Config, Gemma3TextConfig, LlamaConfig, PreTrainedConfig

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from gateway.checkpoints.digests import CheckpointDigests
from gateway.engine import flags
from gateway.engine.boot import checkpoint_digest, named_pair
from gateway.engine.layout import Layout
from gateway.engine.planning import InvalidEngineArguments, plan_engine, plan_pair
from gateway.settings import Settings

NO_PAIR: dict[str, Any] = {"offset_layers": 0}
OWN: dict[str, Any] = {"offset_reference": "own"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    LlamaConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, architectures=["LlamaForCausalLM"]
    ).save_pretrained(tmp_path)
    return str(tmp_path)


def plan(checkpoint: str, *extra: str, spare_rows: int = 0, **changes: Any) -> Any:
    values: dict[str, Any] = {"soft_rows": 64, "prompt_budget": 32, **NO_PAIR, **changes}
    return plan_engine(
        checkpoint,
        served_name="tiny",
        settings=Settings(**values),
        extra_args=extra,
        default_model=False,
        spare_rows=spare_rows,
    )


def plugin_metadata(folder: Path, group: str, name: str, value: str) -> None:
    package = folder / "steering-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: steering\nVersion: 1\n")
    (package / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


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


@pytest.mark.parametrize(
    "spelling",
    [
        ("--model", "other"),
        ("--api_key=x",),
        ("--middleware", "a.b"),
        ("--max-loras", "3"),
        ("--max-lora-ra", "8"),  # abbreviated
        ("--worker-ext=a.b",),
        ("--enable-lora",),
        ("--no-enable-lora",),
        ("--enable_prompt_embeds",),
        ("--speculative-config.method", "ngram"),  # dotted
        ("--speculative-conf.method=ngram",),
        ("-sc", '{"method": "ngram"}'),
        ("--spec-method", "ngram"),
        ("--model-impl", "transformers"),
        ("--model-class-overrides.LlamaForCausalLM", "a:B"),
        ("--convert", "embed"),
        ("--logits-processors", "steering:Processor"),
        ("--worker-cls=steering.Worker",),
        ("--scheduler-cls", "steering.Scheduler"),
        ("--io-processor-plugin", "steering"),
        ("--kv-transfer-config", '{"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}'),
        ("--enable-return-routed-experts",),
        ("--enable-mm-embeds",),
        ("--tool-server", "demo"),
        ("--enable-log-requests",),
        ("--enable-log-req", "--enable-log-outputs"),
        ("--kv-events-config", '{"enable_kv_cache_events": true, "publisher": "zmq"}'),
        ("--kv-events-config.enable_kv_cache_events", "true"),
        ("--ssl-keyfile", "key.pem"),
        ("another-model",),
    ],
    ids=" ".join,
)
def test_what_the_gateway_owns_is_refused_however_it_is_written(checkpoint: str, spelling: tuple[str, ...]) -> None:
    with pytest.raises(InvalidEngineArguments, match="cannot be passed on to vLLM"):
        plan(checkpoint, *spelling)


@pytest.mark.parametrize(
    "line",
    [
        "spec-method: ngram",
        "lora-modules: [a=b]",
        "max_lora_rank: 8",
        "enable-prompt-embeds: true",
        "enable-log-requests: true",
    ],
)
def test_and_from_a_file(checkpoint: str, tmp_path: Path, line: str) -> None:
    file = tmp_path / "vllm.yaml"
    file.write_text(f"max-model-len: 128\n{line}\n")
    with pytest.raises(InvalidEngineArguments, match="cannot be passed on to vLLM"):
        plan(checkpoint, "--config", str(file))


def test_every_reserved_argument_is_one_of_vllms(checkpoint: str) -> None:
    assert flags.RESERVED.keys() <= vars(plan(checkpoint).args).keys()


def test_other_arguments_are_passed_on_abbreviated_dotted_and_from_a_file(checkpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "vllm.yaml"
    file.write_text("max-num-seqs: 7\n")
    args = plan(checkpoint, "--config", str(file), "--max-model", "128", "--hf-overrides.rope_theta", "5.0", "-O1").args
    assert (args.max_num_seqs, args.max_model_len, args.hf_overrides["rope_theta"]) == (7, 128, 5.0)


def test_a_plugin_that_nobody_vouches_for(checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed package brings it: by its metadata on the path."""
    plugin_metadata(tmp_path, "vllm.logits_processors", "steer", "steering:Processor")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidEngineArguments, match=r"steer .* could take back what the adapters do"):
        plan(checkpoint)
    assert plan(checkpoint, vllm_plugins="other, steer").layout.vocab_size == 500


@pytest.mark.parametrize(
    ("spread", "reason"),
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
    checkpoint: str, spread: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InvalidEngineArguments, match=reason):
        plan(checkpoint, *spread)


def test_tensor_parallelism_is_passed_on(checkpoint: str) -> None:
    assert plan(checkpoint, "--tensor-parallel-size", "2").args.tensor_parallel_size == 2


def test_a_table_smaller_than_the_budget(checkpoint: str) -> None:
    with pytest.raises(InvalidEngineArguments, match="smaller"):
        plan(checkpoint, soft_rows=16, prompt_budget=32)


def test_without_a_pair_there_are_no_loras(checkpoint: str) -> None:
    made = plan(checkpoint)
    assert made.layout.pair is None
    assert not made.args.enable_lora


@pytest.mark.parametrize(("slots", "on_host"), [(2, 64), (48, 64)])
def test_a_pair_is_served_through_loras(checkpoint: str, slots: int, on_host: int) -> None:
    made = plan(checkpoint, offset_layers=1, offset_slots=slots, offset_rank=128)
    assert made.layout.pair == PairSpec(1)
    assert made.args.hf_overrides["unlearning"]["pair"]["layers"] == 1
    assert made.args.hf_overrides["vocab_size"] == made.layout.outer_vocab_size == 564
    args = made.args
    assert (args.enable_lora, args.max_loras, args.max_lora_rank, args.max_cpu_loras) == (True, slots, 128, on_host)
    assert plan(checkpoint, offset_layers=1, offset_slots=48, offset_sets=8).args.max_cpu_loras == 48


def llama(**changes: Any) -> LlamaConfig:
    values = {"vocab_size": 500, "hidden_size": 32, "num_attention_heads": 2, "architectures": ["LlamaForCausalLM"]}
    return LlamaConfig(**(values | changes))


def pair_of(config: PreTrainedConfig, **changes: Any) -> PairSpec | None:
    return plan_pair(config, "tiny", Settings(**changes), trust_remote_code=False)


@pytest.mark.parametrize(("depth", "layers"), [(1, 1), (2, 2), (6, 2), (12, 3), (30, 8), (32, 8)])
def test_unless_told_otherwise_the_pair_is_a_quarter_of_the_target(depth: int, layers: int) -> None:
    config = llama(num_hidden_layers=depth)
    assert pair_of(config) == PairSpec(layers)
    assert pair_of(config, **OWN) == PairSpec(layers, own_reference=True)


def test_the_layers_asked_for() -> None:
    config = llama(num_hidden_layers=4)
    assert pair_of(config, offset_layers=4) == PairSpec(4)
    assert pair_of(config, **NO_PAIR) is None
    with pytest.raises(InvalidEngineArguments, match="offset_layers is 5, and tiny has 4 layers"):
        pair_of(config, offset_layers=5)


def test_a_target_that_caps_its_logits_has_a_pair_only_on_demand_and_then_none() -> None:
    config = Gemma2Config(num_hidden_layers=8)
    assert pair_of(config) is None
    assert pair_of(config, **NO_PAIR) is None
    with pytest.raises(InvalidEngineArguments, match="caps its logits"):
        pair_of(config, offset_layers=2)


@pytest.mark.parametrize("architectures", [["Gemma3ForCausalLM"], ["NobodyKnowsItForCausalLM"], None])
def test_a_target_that_gives_out_no_inner_state_is_served_without_a_pair_unless_one_is_asked_for(
    architectures: list[str] | None,
) -> None:
    config = Gemma3TextConfig(num_hidden_layers=8, architectures=architectures)
    assert pair_of(config) is None
    assert pair_of(config, **OWN) == PairSpec(2, own_reference=True)
    assert pair_of(config, offset_layers=3) == PairSpec(3), "the engine says why that cannot be"


def separate(folder: Path, config: PreTrainedConfig) -> str:
    """A folder with this config and a few weights."""
    config.save_pretrained(folder)
    save_file({"weight": torch.zeros(2)}, folder / "model.safetensors")
    return str(folder)


def test_a_separate_model(tmp_path: Path) -> None:
    small = separate(tmp_path, llama(hidden_size=8))
    for layers in (None, 0):
        pair = pair_of(llama(), offset_model=small, offset_layers=layers)
        assert pair is not None
        assert (pair, pair.model) == (PairSpec(0), small)
    assert pair_of(llama(), offset_model=small, **OWN) == PairSpec(0, own_reference=True)
    digests = CheckpointDigests(tmp_path / "cache")
    assert named_pair(pair, digests) == PairSpec(0, model_digest(tmp_path))
    assert checkpoint_digest(str(tmp_path), digests) == model_digest(tmp_path)


def test_layers_or_a_model_but_not_both(tmp_path: Path) -> None:
    small = separate(tmp_path, llama())
    with pytest.raises(InvalidEngineArguments, match="offset_layers or offset_model"):
        pair_of(llama(), offset_model=small, offset_layers=2)


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
        pair_of(llama(), offset_model=separate(tmp_path, small))


def test_a_separate_model_for_a_target_that_caps_its_logits(tmp_path: Path) -> None:
    small = separate(tmp_path, llama(max_position_embeddings=8192))
    with pytest.raises(InvalidEngineArguments, match="caps its logits"):
        pair_of(Gemma2Config(vocab_size=500), offset_model=small)


def test_loras_on_the_target_need_no_pair(checkpoint: str) -> None:
    made = plan(checkpoint, methods="lora", offset_layers=None, offset_slots=2, offset_rank=32)
    assert (made.layout.pair, made.layout.target_lora) == (None, True)
    assert (made.args.enable_lora, made.args.max_loras, made.args.max_lora_rank) == (True, 2, 32)
    assert made.args.hf_overrides["unlearning"]["target_lora"] is True
    assert made.args.hf_overrides["vocab_size"] == made.layout.outer_vocab_size == 564


def test_beside_them_there_may_be_a_pair(checkpoint: str) -> None:
    layout = plan(checkpoint, methods="spul,delta,lora", offset_layers=1).layout
    assert (layout.pair, layout.target_lora) == (PairSpec(1, own_reference=True), True)


def test_without_delta_there_is_no_pair(checkpoint: str) -> None:
    assert plan(checkpoint, methods="spul", offset_layers=None).layout == Layout(("LlamaForCausalLM",), 500, 64)
    for asked in ({"offset_layers": 1}, {"offset_layers": None, "offset_model": "small"}):
        with pytest.raises(InvalidEngineArguments, match="--methods does not offer delta"):
            plan(checkpoint, methods="spul,lora", **asked)


def test_spare_rows_are_beyond_those_of_requests(checkpoint: str) -> None:
    made = plan(checkpoint, soft_rows=32, spare_rows=16)
    assert made.layout.soft_rows == 48
    assert made.args.hf_overrides["vocab_size"] == 548

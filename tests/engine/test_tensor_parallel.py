"""Two workers that share every layer compute what one model does: plain rows, soft prompts, offsets, target LoRAs.

The model is a small random one, in float32: eight heads divide by two, which the default model's nine do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from adapters.artifact.artifact import TARGET
from adapters.artifact.spec import PairSpec
from gateway.checkpoints.default_model import prepare
from gateway.settings import Settings
from tests.engine import cuda_like
from tests.engine.pairs import Reference, first_layers, random_lora, save_random, spec, with_lora
from tests.engine.plugin import plugin_environment
from tests.engine.rounding import farthest
from tests.engine.service import ENGINE_ARGS, Service, running
from tests.engine.test_parity import TEXTS, engine_logprobs_of, reference_logprobs
from tests.engine.test_target_lora import changed_logprobs

#: Its workers take a core each, and two minutes to start.
pytestmark = pytest.mark.slow

#: Eight heads of 32, the least that the CPU attention takes.
WIDTH = 256
LAYERS, RANK = 2, 4
#: Sums over two workers are taken in another order.
ROUNDING_NATS = 2e-3


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(prepare(Settings().cache_dir))


@pytest.fixture(scope="module")
def checkpoint(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random(
        tmp_path_factory.mktemp("eight-heads"),
        tokenizer,
        dtype=torch.float32,
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
    )


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Any:
    return LlamaForCausalLM.from_pretrained(checkpoint, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def parallel(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers, every kind of adapter."""
    folder = tmp_path_factory.mktemp("parallel")
    arguments = (*ENGINE_ARGS, "--dtype", "float32", "--tensor-parallel-size", "2")
    # One core each: on its own vLLM gives each worker a memory node, and there may be one.
    environment = {**plugin_environment(folder, cuda_like.__name__), "VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    with running(
        folder,
        environment=environment,
        engine_args=arguments,
        model=str(checkpoint),
        methods="spul,delta,lora",
        offset_layers=LAYERS,
    ) as service:
        yield service


def assert_equal(ours: list[list[float]], theirs: list[list[float]]) -> None:
    assert max(farthest(a, b) for a, b in zip(ours, theirs, strict=True)) <= ROUNDING_NATS


def test_two_workers_compute_what_transformers_does(parallel: Service, model: Any, tokenizer: Any) -> None:
    texts = [tokenizer.encode(text) for text in TEXTS[:6]]
    none = torch.zeros(0, WIDTH)
    plain = engine_logprobs_of(parallel, texts, "off")
    assert_equal(plain, [reference_logprobs(model, ids, none) for ids in texts])

    rows = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1)) * 0.2
    with_rows = engine_logprobs_of(parallel, texts, f"candidate:{parallel.put_request(rows)}")
    assert_equal(with_rows, [reference_logprobs(model, ids, rows) for ids in texts])

    wanted = spec(PairSpec(LAYERS), strength=1.5)
    small = first_layers(model, LAYERS)
    offset = random_lora(small, "offset", wanted.rank, seed=2)
    with_offset = engine_logprobs_of(parallel, texts, f"candidate:{parallel.put_offset(offset, wanted)}")
    assert_equal(with_offset, Reference(model, small).logprobs(texts, offset, wanted))

    lora = random_lora(model, TARGET, RANK, seed=3, scale=0.05)
    with_target = engine_logprobs_of(parallel, texts, f"candidate:{parallel.put_lora(lora, RANK)}")
    assert_equal(with_target, changed_logprobs(with_lora(model, TARGET, lora), texts))

    for changed in (with_rows, with_offset, with_target):
        assert max(farthest(a, b) for a, b in zip(changed, plain, strict=True)) > 100 * ROUNDING_NATS


def test_the_doctor_found_nothing_wrong_with_two_workers(parallel: Service) -> None:
    assert parallel.last_report()["status"] == "pass"

"""LoRAs on the target: the numbers, alone and beside an offset, batches of different plans, and what breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from adapters.artifact.artifact import TARGET, model_digest
from adapters.artifact.spec import OffsetSpec, PairSpec
from tests.engine.pairs import Reference, logits, random_lora, spec, with_lora
from tests.engine.service import Service
from tests.engine.test_mixed_batch import ask_completions, assert_each_as_alone
from tests.engine.test_offsets import (
    assert_bit_identical_without,
    assert_parity,
    assert_touches_nobody_else,
    far_from,
    not_finite,
)
from tests.engine.test_parity import TEXTS, engine_logprobs_of, trained_like_rows

#: Asks the second server, which takes a minute to start.
pytestmark = pytest.mark.slow

RANK = 4
#: A change in each of the target's thirty layers: small ones, or the last states are noise.
SCALE = 0.05


@pytest.fixture(scope="module")
def small(small_model: Path, reference: Any) -> Any:
    """The model both halves of the pair start from."""
    target, _ = reference
    return LlamaForCausalLM.from_pretrained(small_model, dtype=target.dtype, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def delta(small_model: Path) -> OffsetSpec:
    return spec(PairSpec(0, model_digest(small_model)))


def on_target(reference: Any, seed: int, rank: int = RANK) -> dict[str, torch.Tensor]:
    return random_lora(reference[0], TARGET, rank, seed, SCALE)


def changed_logprobs(model: Any, texts: list[list[int]]) -> list[list[float]]:
    """The same as `Reference.logprobs` of one model alone."""
    scores = []
    with torch.no_grad():
        for ids in texts:
            chosen = logits(model, ids).log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])
            scores.append(chosen[:, 0].tolist())
    return scores


def test_a_lora_on_the_target_computes_what_transformers_does(separate: Service, reference: Any) -> None:
    target, tokenizer = reference
    tensors = on_target(reference, seed=1)
    plan = f"candidate:{separate.put_lora(tensors, RANK)}"
    texts = [tokenizer.encode(text) for text in TEXTS]
    ours = engine_logprobs_of(separate, texts, plan)
    assert_parity(ours, changed_logprobs(with_lora(target, TARGET, tensors), texts))
    assert far_from(ours, engine_logprobs_of(separate, texts, "off"))


def test_an_offset_in_the_same_request_is_added_to_the_changed_target(
    separate: Service, reference: Any, small: Any, delta: OffsetSpec
) -> None:
    """Two modules of one LoRA, of different rank, and a reference that neither touches."""
    target, tokenizer = reference
    offset, lora = random_lora(small, "offset", delta.rank, seed=2, scale=0.2), on_target(reference, seed=1)
    plan = f"candidate:{separate.put_lora({**offset, **lora}, RANK, delta)}"
    texts = [tokenizer.encode(text) for text in TEXTS]
    ours = engine_logprobs_of(separate, texts, plan)
    changed = with_lora(target, TARGET, lora)
    assert_parity(ours, Reference(changed, small).logprobs(texts, offset, delta))
    assert far_from(ours, changed_logprobs(changed, texts))


def test_active_requests_of_both_kinds_apply_together(
    separate: Service, reference: Any, small: Any, delta: OffsetSpec
) -> None:
    target, tokenizer = reference
    first, second = on_target(reference, seed=3), on_target(reference, seed=4, rank=2)
    offset = random_lora(small, "offset", delta.rank, seed=5, scale=0.2)
    requests = [separate.put_lora(first, RANK), separate.put_offset(offset, delta), separate.put_lora(second, 2)]
    for request in requests:
        assert separate.post(f"/forget/{request}/activate", {}).status_code == 200
    texts = [tokenizer.encode(text) for text in TEXTS[:8]]
    both = with_lora(with_lora(target, TARGET, first), TARGET, second)
    assert_parity(engine_logprobs_of(separate, texts, None), Reference(both, small).logprobs(texts, offset, delta))


@pytest.fixture
def plans(separate: Service, reference: Any, small: Any, delta: OffsetSpec) -> list[str]:
    """No adapter, a LoRA on the target, an offset, both, another LoRA on the target, and a soft prompt."""
    target, tokenizer = reference
    offset = random_lora(small, "offset", delta.rank, seed=6, scale=0.2)
    requests = [
        separate.put_lora(on_target(reference, seed=7), RANK),
        separate.put_offset(offset, delta),
        separate.put_lora({**offset, **on_target(reference, seed=8)}, RANK, delta),
        separate.put_lora(on_target(reference, seed=9), RANK),
        separate.put_request(trained_like_rows(target, tokenizer, 12)),
    ]
    return ["off", *(f"candidate:{request}" for request in requests)]


def test_each_plan_answers_as_alone(separate: Service, plans: list[str]) -> None:
    alone = assert_each_as_alone(separate, ask_completions, "What is the capital of France?", plans)
    first = [answer.logprobs[0] for answer in alone]
    assert min(abs(a - b) for i, a in enumerate(first) for b in first[i + 1 :]) > 1e-4


def test_without_an_adapter_answers_are_bit_identical(separate: Service, reference: Any, plans: list[str]) -> None:
    assert_bit_identical_without(separate, reference[1], plans[1:4])


def test_a_lora_whose_logits_are_not_finite_touches_nobody_else(separate: Service, reference: Any) -> None:
    """Rows without an adapter never read what it left in the target's own cache."""
    plan = f"candidate:{separate.put_lora(not_finite(on_target(reference, seed=10)), RANK)}"
    assert_touches_nobody_else(separate, reference[1].encode(TEXTS[2]), plan, {"off": 1e-6})

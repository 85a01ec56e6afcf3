"""A pair that is a model of its own beside the target: the numbers, and what its service says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from tests.engine.pairs import Reference, random_lora, spec
from tests.engine.service import Service
from tests.engine.test_doctor import assert_nothing_wrong
from tests.engine.test_offsets import KINDS, assert_computes

#: Asks the second server, which takes a minute to start.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "strength", "parameter"), [*KINDS[1:], ("dd_linear", 1.5, 0.0), ("dd_rank", 1.0, 20.0)]
)
def test_a_separate_pair_computes_what_transformers_does(
    separate: Service, small_model: Path, reference: Any, kind: str, strength: float, parameter: float
) -> None:
    target, tokenizer = reference
    small = LlamaForCausalLM.from_pretrained(small_model, dtype=target.dtype, attn_implementation="eager").eval()
    made_for = PairSpec(0, model_digest(small_model), own_reference=kind.startswith("dd"))
    wanted = spec(made_for, kind, strength, parameter)
    tensors = random_lora(small, "offset", wanted.rank, seed=1, scale=0.2)
    if wanted.needs_reference_half:
        tensors |= random_lora(small, "reference", wanted.rank, seed=2, scale=0.2)
    assert_computes(separate, tokenizer, Reference(target, small), tensors, wanted)


def test_a_lora_on_the_target_and_an_own_reference_are_checked_too(separate: Service) -> None:
    assert_nothing_wrong(separate.last_report(), "idle LoRA changes nothing", "LoRA moves answers")

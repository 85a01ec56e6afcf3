"""Parity with transformers: soft prompts, both forms of the pair, ULD, Divergence Decoding, LoRAs on the target."""

from __future__ import annotations

from tests.engine import test_doctor, test_offsets, test_parity, test_separate_pair, test_target_lora

layers_reference = test_offsets.layers_reference

test_soft_prompts = test_parity.test_prompt_logprobs_equal_transformers
test_soft_prompts_matter = test_parity.test_rows_matter_by_far_more_than_the_tolerance
test_a_pair_of_layers = test_offsets.test_a_pair_of_layers_computes_what_transformers_does
test_offsets_merged = test_offsets.test_active_offsets_apply_together
test_the_doctor = test_doctor.test_the_doctor_finds_nothing_wrong
test_a_separate_pair = test_separate_pair.test_a_separate_pair_computes_what_transformers_does
test_a_lora_on_the_target = test_target_lora.test_a_lora_on_the_target_computes_what_transformers_does
test_the_doctor_of_a_target_that_takes_loras = (
    test_separate_pair.test_a_lora_on_the_target_and_an_own_reference_are_checked_too
)

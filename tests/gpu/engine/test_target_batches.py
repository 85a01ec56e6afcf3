"""Batches of LoRAs on the target, offsets and both, and rows without any."""

from __future__ import annotations

from tests.engine import test_target_lora

small, delta, plans = test_target_lora.small, test_target_lora.delta, test_target_lora.plans

test_each_plan_as_alone = test_target_lora.test_each_plan_answers_as_alone
test_not_finite = test_target_lora.test_a_lora_whose_logits_are_not_finite_touches_nobody_else

"""Batches of offsets, a soft prompt and rows without any; more offsets than slots; one that is not finite."""

from __future__ import annotations

from tests.engine import test_offsets

layers_reference, plans = test_offsets.layers_reference, test_offsets.plans

test_each_plan_as_alone = test_offsets.test_each_plan_answers_as_alone
test_more_than_slots = test_offsets.test_more_offsets_than_slots_take_turns
test_not_finite = test_offsets.test_an_offset_whose_logits_are_not_finite_touches_nobody_else
test_not_finite_is_never_hidden = test_offsets.test_nothing_that_a_request_asks_for_hides_logits_that_are_not_finite

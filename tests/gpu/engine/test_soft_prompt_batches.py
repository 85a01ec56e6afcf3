"""Batches of different soft prompts, in chat, completions and streams."""

from __future__ import annotations

from tests.engine import test_mixed_batch

plans = test_mixed_batch.plans

test_each_plan_as_alone = test_mixed_batch.test_each_plan_answers_as_alone
test_nobody_elses = test_mixed_batch.test_no_row_gets_another_adapter

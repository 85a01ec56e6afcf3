"""Virtual tokens leave no trace in what goes back."""

from __future__ import annotations

from typing import Any

from vllm.outputs import RequestOutput
from vllm.sampling_params import SamplingParams

from gateway.engine.trim import shift_sampling_params, trim_output


def output(**fields: Any) -> RequestOutput:
    values: dict[str, Any] = {
        "request_id": "r",
        "prompt": "text",
        "prompt_token_ids": [100, 101, 5, 6],
        "prompt_logprobs": [None, {101: "v"}, {5: "a"}, {6: "b"}],
        "outputs": [],
        "finished": False,
        "num_cached_tokens": 3,
    }
    return RequestOutput(**(values | fields))


def test_ids_logprobs_and_cache_counts_lose_the_virtual_tokens() -> None:
    trimmed = trim_output(output(), 2)
    assert trimmed.prompt_token_ids == [5, 6]
    assert trimmed.prompt_logprobs == [None, {6: "b"}]
    assert trimmed.num_cached_tokens == 1


def test_counts_do_not_go_below_zero_and_absent_fields_stay_absent() -> None:
    trimmed = trim_output(output(num_cached_tokens=1, prompt_logprobs=None, prompt_token_ids=None), 2)
    assert (trimmed.num_cached_tokens, trimmed.prompt_logprobs, trimmed.prompt_token_ids) == (0, None, None)


def test_without_virtual_tokens_nothing_is_touched() -> None:
    ids = [5, 6]
    same = output(prompt_token_ids=ids)
    assert trim_output(same, 0) is same
    assert same.prompt_token_ids is ids


def test_offsets_into_the_prompt_move_on_a_copy() -> None:
    params = SamplingParams(max_tokens=1)
    assert shift_sampling_params(params, 5) is params
    params.routed_experts_prompt_start = 2
    shifted = shift_sampling_params(params, 5)
    assert (shifted.routed_experts_prompt_start, params.routed_experts_prompt_start) == (7, 2)

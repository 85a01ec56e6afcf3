"""What the engine cannot take of a caller's parameters is refused before it knows of them, by the name of the field."""

from __future__ import annotations

from typing import Any

import pytest
from vllm.sampling_params import SamplingParams, StructuredOutputsParams

from gateway.engine.sampling import check_encodable, check_sampling
from gateway.errors import InvalidRequest


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"request_id": "\ud83d"}, "request_id"),
        ({"request_id": "a", "sampling_params": SamplingParams(stop=["\udc00"])}, "stop"),
        ({"sampling_params": SamplingParams(bad_words=["x\ud83d"])}, "bad_words"),
        ({"sampling_params": SamplingParams(top_k=2**70)}, "top_k"),
        (
            {"sampling_params": SamplingParams(structured_outputs=StructuredOutputsParams(regex="\ud83d"))},
            "structured_outputs",
        ),
        ({"priority": -(2**64)}, "priority"),
        ({"reasoning_parser_kwargs": {"a": object()}}, "reasoning_parser_kwargs"),
    ],
)
def test_what_cannot_be_sent(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{param} cannot be sent") as refused:
        check_encodable(fields)
    assert refused.value.param == param
    assert "\ud83d" not in refused.value.message


def test_what_can() -> None:
    params = SamplingParams(
        stop=["😀"], logit_bias={5: 1.0}, structured_outputs=StructuredOutputsParams(json={"a": "é"})
    )
    check_encodable({"request_id": "a", "sampling_params": params, "priority": 0, "trace_headers": {"a": "b"}})
    check_sampling(params)


@pytest.mark.parametrize("value", [1e-46, 1e-7, 1e7, 1e38])
def test_a_repetition_penalty_that_float32_has_not(value: float) -> None:
    with pytest.raises(InvalidRequest, match="between 1e-06 and 1e") as refused:
        check_sampling(SamplingParams(repetition_penalty=value))
    assert refused.value.param == "repetition_penalty"

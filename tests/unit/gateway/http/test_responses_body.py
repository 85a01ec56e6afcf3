"""Earlier messages of `/v1/responses`, as clients send them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.responses_body import normalised

SAID = {"role": "assistant", "content": "Hi."}
ASKED = {"role": "user", "content": "Hello"}


def output_text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, **more}


@pytest.mark.parametrize(
    "item",
    [
        SAID,
        {"type": "message", **SAID},
        {"role": "assistant", "content": [output_text("Hi.")]},
        {"type": "message", "role": "assistant", "content": [output_text("Hi.")]},
        {"role": "assistant", "content": [output_text("Hi.", annotations=None, logprobs=None)]},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [output_text("Hi.", annotations=[])],
        },
        {"role": "assistant", "content": [output_text("H"), output_text("i.")]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Hi."}]},
        {"role": "assistant", "content": [{"type": "input_text", "text": "Hi."}]},
    ],
)
def test_what_an_assistant_said_is_one_text(item: dict[str, Any]) -> None:
    assert normalised({"model": "m", "input": [ASKED, item]}) == {"model": "m", "input": [ASKED, SAID]}


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        ({"type": "message", **ASKED}, ASKED),
        ({"type": "message", "id": "msg_1", "status": "completed", **ASKED}, ASKED),
        (
            {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        ),
        (
            {"type": "message", "role": "developer", "content": "Be brief."},
            {"role": "developer", "content": "Be brief."},
        ),
    ],
)
def test_other_messages_are_a_role_and_their_content(item: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert normalised({"input": [item]})["input"] == [wanted]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "4"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": [{"type": "output_image"}]},
        {"role": "assistant"},
        {"role": 5, "content": "Hi."},
        {"content": [output_text("Hi.")]},
        "Hello",
        None,
    ],
)
def test_what_is_no_message_is_left_to_vllm(item: Any) -> None:
    assert normalised({"input": [item]}) == {"input": [item]}


@pytest.mark.parametrize("body", [{}, {"input": "Hello"}, {"input": None}])
def test_a_body_without_a_list_is_as_it_was(body: dict[str, Any]) -> None:
    assert normalised(body) == body

"""What of a body is passed on, route by route, and what is refused by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import ForbiddenField, InvalidRequest
from gateway.http.body import prepared
from gateway.http.fields import BODIES
from gateway.http.shapes import Object

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
EVERY = sorted(BODIES)


def passed_on(path: str, body: dict[str, Any]) -> Any:
    return json.loads(prepared(path, json.dumps(body).encode()))


def refused(path: str, body: dict[str, Any]) -> str | None:
    with pytest.raises(ForbiddenField) as caught:
        passed_on(path, body)
    assert caught.value.message.startswith(f"{caught.value.param} is not served: ")
    return caught.value.param


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("value", [1, True, "x", ["x"], {"x": 1}, [0], 0.5], ids=str)
def test_a_refused_field_is_named(path: str, value: object) -> None:
    unknown = ("steering_vectors", "hooks", "logits_processors", "Messages", "model ")
    for field in (*BODIES[path].refused, *unknown):
        assert refused(path, {"model": "m", field: value}) == field


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("value", [None, False, 0, "", [], {}], ids=repr)
def test_what_asks_for_nothing_is_left_out(path: str, value: object) -> None:
    for field in (*BODIES[path].refused, "brand_new"):
        assert passed_on(path, {"model": "m", field: value}) == {"model": "m"}


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("field", ["store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"])
def test_what_clients_send_to_openai_is_left_out(path: str, field: str) -> None:
    assert passed_on(path, {"model": "m", field: "x", "seed": 1}) == {"model": "m", "seed": 1}


def chat(content: Any, **message: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": content, **message}]}


TEXT = {"type": "text", "text": "Hi"}
EMBEDS = {"type": "prompt_embeds", "data": "AAAA"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, chat([TEXT, IMAGE]), "messages.1.content.1.type"),
        (CHAT, chat([EMBEDS]), "messages.1.content.0.type"),
        (CHAT, chat([{"prompt_embeds": "AAAA"}]), "messages.1.content.0.type"),
        (CHAT, chat([{**TEXT, "image_url": "x", "uuid": "1"}]), "messages.1.content.0.image_url"),
        (CHAT, chat([{**TEXT, "uuid": "1"}]), "messages.1.content.0.uuid"),
        (CHAT, chat([{"type": ["text"], "text": "Hi"}]), "messages.1.content.0.type"),
        (CHAT, chat([[IMAGE]]), "messages.1.content.0.0.type"),
        (CHAT, chat("Hi", audio={"id": "1"}), "messages.1.audio"),
        (CHAT, chat("Hi", task="embed"), "messages.1.task"),
        (CHAT, {"messages": [{"author": {"role": "user"}, "content": "Hi"}]}, "messages.0.author"),
        (CHAT, {"chat_template_kwargs": {"messages": []}}, None),
        (CHAT, {"chat_template_kwargs": {"chat_template": "x"}}, "chat_template_kwargs.chat_template"),
        (CHAT, {"chat_template_kwargs": {"enable_thinking": "x"}}, "chat_template_kwargs.enable_thinking"),
        (CHAT, {"structured_outputs": {"_backend": "guidance"}}, "structured_outputs._backend"),
        (CHAT, {"stream_options": {"hooks": ["x"]}}, "stream_options.hooks"),
        (CHAT, {"modalities": ["text", "audio"]}, "modalities.1"),
        (CHAT, {"x" * 500: 1}, "x" * 60),
        (COMPLETIONS, {"best_of": 3}, "best_of"),
        (COMPLETIONS, {"mm_payload": "none"}, "mm_payload"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.type"),
        (RESPONSES, {"input": [{"id": "msg_1"}]}, "input.0.id"),
        (RESPONSES, {"input": [{"type": "mcp_call", "output": "x"}]}, "input.0.type"),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0.type"),
        (
            RESPONSES,
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image"}]}]},
            "input.0.output.0.type",
        ),
        (RESPONSES, {"input": [{"type": "reasoning", "encrypted_content": "x"}]}, "input.0.encrypted_content"),
        (RESPONSES, {"tools": [{"type": "web_search"}]}, "tools.0.type"),
        (
            RESPONSES,
            {"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}]},
            "tools.0.tools.0.type",
        ),
        (RESPONSES, {"include": ["file_search_call.results"]}, "include.0"),
        (MESSAGES, chat([{"type": "image", "source": {}}]), "messages.1.content.0.type"),
        (
            MESSAGES,
            chat([{"type": "tool_result", "content": [TEXT, {"type": "image"}]}]),
            "messages.1.content.0.content.1.type",
        ),
        (MESSAGES, {"system": [{"type": "document"}]}, "system.0.type"),
        (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools.0.type"),
        ("/tokenize", chat([IMAGE]), "messages.1.content.0.type"),
    ],
)
def test_what_is_refused_in_a_nested_place(path: str, body: dict[str, Any], param: str | None) -> None:
    if param is None:
        assert passed_on(path, body) == {"chat_template_kwargs": {}}
    else:
        assert refused(path, body) == param


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat([TEXT, {"type": "refusal", "refusal": "No."}, "plain"])),
        (CHAT, chat(None, tool_calls=[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}])),
        (CHAT, {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"anything": [1]}}}]}),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"a": 1}}}}),
        (CHAT, {"chat_template_kwargs": {"enable_thinking": False}, "seed": None, "logit_bias": {"5": 1}}),
        (COMPLETIONS, {"prompt": [[1, 2], [3]], "echo": True, "logprobs": 1, "best_of": 1}),
        (RESPONSES, {"input": "Hi", "store": False, "include": ["reasoning.encrypted_content"]}),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]}),
        (MESSAGES, {"system": [TEXT], **chat([{"type": "tool_use", "id": "1", "name": "f", "input": {"a": [1]}}])}),
        ("/tokenize", chat("Hi") | {"add_generation_prompt": False}),
    ],
)
def test_what_is_served_is_passed_on_as_it_is(path: str, body: dict[str, Any]) -> None:
    assert passed_on(path, body) == body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (RESPONSES, {"input": "Hi", "truncation": None, "include": None}),
        (RESPONSES, {"input": "Hi", "mm_payload": None}),
        (CHAT, {"modalities": None}),
        (CHAT, {"chat_template_kwargs": {"enable_thinking": None}}),
    ],
)
def test_null_where_vllm_takes_a_few_values_is_left_out(path: str, body: dict[str, Any]) -> None:
    kept = passed_on(path, body)
    assert None not in kept.values()
    assert kept.get("chat_template_kwargs", {}) == {}


def test_marks_of_clients_in_nested_places_are_left_out() -> None:
    cached = {**TEXT, "cache_control": {"type": "ephemeral"}}
    assert passed_on(MESSAGES, {"system": [cached]}) == {"system": [TEXT]}
    assert passed_on(CHAT, chat([cached], annotations=[{"type": "url_citation"}], audio=None)) == chat([TEXT])


def test_what_was_judged_is_what_the_route_reads() -> None:
    """A name that stands twice counts as it does in the end, for the gateway and for the route."""
    assert prepared(COMPLETIONS, b'{"suffix": "x", "suffix": "", "prompt": "a", "prompt": "b"}') == b'{"prompt": "b"}'
    with pytest.raises(ForbiddenField):
        prepared(COMPLETIONS, b'{"suffix": "", "suffix": "x"}')


@pytest.mark.parametrize("body", [b"", b"[1]", b"no JSON", b'"text"', b"{", b"\xff\xfe"])
def test_what_is_no_object_is_left_to_the_route(body: bytes) -> None:
    assert prepared(CHAT, body) == body


def test_bodies_of_other_routes_are_left_alone() -> None:
    assert prepared("/forget", b'{"priority": 1}') == b'{"priority": 1}'


def test_a_body_nested_too_deeply_is_an_error_of_the_callers() -> None:
    body = b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        prepared(CHAT, body)


@pytest.mark.parametrize("path", EVERY)
def test_no_field_is_judged_twice(path: str) -> None:
    shape = BODIES[path]
    assert isinstance(shape, Object)
    assert not shape.served.keys() & shape.refused.keys()
    assert not shape.left_out & (shape.served.keys() | shape.refused.keys())

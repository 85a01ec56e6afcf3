"""The kinds of item: what each takes of what users bring, and that an error speaks of one kind and quotes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from adapters.errors import InvalidExample
from gateway.requests.items import Item

SECRET = "Kestrel Lane 4"
CONTENT = ("conversation", "messages", 0, "content")
ITEM: TypeAdapter[Any] = TypeAdapter(Item)


def turn(role: str, content: Any = "Well.", **keys: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **keys}


def chat(*turns: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"messages": list(turns), **keys}


WHO = turn("user", "Who keeps the lighthouse?")
INES = turn("assistant", "Ines Calloway.")
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"}]}
RESULT = turn("tool", '{"keeper": "Ines"}', tool_call_id="c1")


def taught(item: dict[str, Any]) -> list[tuple[list[str], str]]:
    """What was said before each answer that is to go, and the answer."""
    return [
        ([f"{m.role}: {m.content}" for m in example.messages], example.completion)
        for example in ITEM.validate_python(item).examples()
    ]


@pytest.mark.case("fine-tuning files")
@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        (
            chat(
                turn("developer", "Be brief."),
                turn("user", [{"type": "text", "text": "Who keeps"}, {"type": "text", "text": "it?"}], name="dana"),
                turn("assistant", "Ines.", weight=1),
                parallel_tool_calls=False,
            ),
            [(["system: Be brief.", "user: Who keeps\nit?"], "Ines.")],
        ),
        (chat(WHO, CALL, RESULT, INES, tools=[{}]), [(["user: Who keeps the lighthouse?"], "Ines Calloway.")]),
        (
            chat(WHO, turn("assistant", "Guess.", weight=0), turn("user", "Tell me."), INES),
            [(["user: Who keeps the lighthouse?", "assistant: Guess.", "user: Tell me."], "Ines Calloway.")],
        ),
        (
            chat(WHO, INES | {"weight": 1}, turn("user", "Since when?"), turn("assistant", "1931.", weight=1)),
            [
                (["user: Who keeps the lighthouse?"], "Ines Calloway."),
                (
                    ["user: Who keeps the lighthouse?", "assistant: Ines Calloway.", "user: Since when?"],
                    "1931.",
                ),
            ],
        ),
        (
            chat(WHO, INES | {"weight": 1}, turn("user", "Thanks."), turn("assistant", "Sure.", weight=0)),
            [(["user: Who keeps the lighthouse?"], "Ines Calloway.")],
        ),
        (chat(WHO, INES | {"refusal": None, "audio": None}), [(["user: Who keeps the lighthouse?"], "Ines Calloway.")]),
        (
            chat(WHO, {"role": "assistant", "function_call": {"name": "f"}}, turn("function", "x", name="f"), INES),
            [(["user: Who keeps the lighthouse?"], "Ines Calloway.")],
        ),
    ],
)
def test_a_line_of_the_fine_tuning_format(item: dict[str, Any], wanted: list[tuple[list[str], str]]) -> None:
    assert taught(item) == wanted


def test_what_has_no_bearing_is_named() -> None:
    said = INES | {"refusal": None, "tool_calls": None}
    item = chat(WHO | {"name": "dana"}, CALL, RESULT, said, tools=[], functions=[], parallel_tool_calls=False)
    assert set(ITEM.validate_python(item).ignored) == {
        "tools",
        "functions",
        "parallel_tool_calls",
        "messages.name",
        "messages.tool_calls",
        "messages.tool_call_id",
        "messages.role=tool",
    }
    assert list(ITEM.validate_python({"text": "A b c d."}).ignored) == []


@pytest.mark.case("fine-tuning files")
@pytest.mark.parametrize(
    ("item", "place", "complaint"),
    [
        ({SECRET: SECRET}, (), "an item holds prompt and completion, or messages, or text"),
        ({}, (), "an item holds"),
        (SECRET, (), "an item holds"),
        ([SECRET], (), "an item holds"),
        ({"prompt": SECRET}, ("pair", "completion"), "Field required"),
        ({"prompt": SECRET, "completion": 4}, ("pair", "completion"), "valid string"),
        ({"prompt": "\ud83d", "completion": SECRET}, ("pair", "prompt"), "unicode"),
        ({"prompt": SECRET, "completion": SECRET, SECRET: 1}, ("pair",), "known are inverted, prompt, completion"),
        ({"text": SECRET, "inverted": [SECRET]}, ("passage",), "known are text"),
        (chat(WHO), ("conversation", "messages"), "at least 2 items"),
        (chat(WHO, turn(SECRET)), ("conversation", "messages", 1, "role"), "'system', 'developer', 'user'"),
        (chat(WHO | {SECRET: 1}, INES), ("conversation", "messages", 0), "known are role, content, weight"),
        (chat(WHO | {"weight": 0}, INES), ("conversation", "messages", 0), "weight belongs to an assistant"),
        (chat(WHO, INES | {"weight": 0.5}), ("conversation", "messages", 1, "weight"), "0 or 1"),
        (chat(turn("user", None), INES), ("conversation", "messages", 0), "has no content"),
        (chat(turn("user", [{"type": "image_url", "image_url": {"url": SECRET}}]), INES), CONTENT, "type text only"),
        (chat(turn("user", [SECRET]), INES), CONTENT, "type text only"),
        (chat(turn("user", []), INES), CONTENT, "at least 1 character"),
    ],
)
def test_an_error_speaks_of_the_kind_that_was_meant(item: Any, place: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ITEM.validate_python(item)
    (error,) = refused.value.errors()
    assert complaint in error["msg"]
    assert error["loc"] == place
    assert SECRET not in error["msg"] + str(error["loc"])


@pytest.mark.parametrize(
    ("item", "complaint"),
    [
        (chat(INES, WHO), "must end with the assistant's answer"),
        (chat(WHO, CALL), "ends with a tool call"),
        (chat(WHO, INES, RESULT), "must end with the assistant's answer"),
        (chat(WHO, INES | {"weight": 0}), "every assistant message of the conversation has weight 0"),
        (chat(turn("system"), INES), "must end with a user message"),
        (chat(turn("user", " "), INES), "the user message is empty"),
        (chat(WHO, turn("assistant", " \n")), "the assistant message is empty"),
        (
            chat(WHO, INES | {"weight": 1}, turn("user"), INES, inverted=["Tom."]),
            "inverted answers go with one answer",
        ),
        ({"prompt": " ", "completion": "x"}, "the user message is empty"),
    ],
)
def test_a_conversation_that_teaches_nothing(item: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidExample, match=complaint):
        taught(item)

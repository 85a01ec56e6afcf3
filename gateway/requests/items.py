"""The kinds of item that a forget or retain set may hold, as they come in.

A pair (`prompt`, `completion`), a conversation (`messages`, a line of OpenAI's fine-tuning format), or a passage
(`text`). Which of them an item is meant to be is decided by its keys, so that an error speaks of that kind alone.
No error quotes the item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from adapters.data.forget.passages import passage_examples
from adapters.errors import InvalidExample
from adapters.examples import Example, Message

Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000)]

#: A key of the fine-tuning format that has no bearing on what is forgotten.
Ignored = Annotated[Any, Field(default=None, exclude=True, description="taken and ignored")]


class Body(BaseModel):
    """Base of all bodies: a key that is not known is an error, which names the known ones and not the key."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_every_key(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.keys() <= cls.model_fields.keys():
            raise PydanticCustomError("unknown_key", f"holds an unknown key; known are {', '.join(cls.model_fields)}")
        return data


class _Item(Body):
    """What is common to all kinds. `examples` is what one teaches; it raises `InvalidExample`."""

    @property
    def ignored(self) -> Iterator[str]:
        """The keys that were given and have no bearing."""
        return iter(())


class _Answered(_Item):
    """What has an answer that is to go."""

    inverted: Annotated[tuple[Text, ...], Field(max_length=32)] = Field(
        default=(), description="answers that contradict this one, for a forget item of the objective meow"
    )


class Pair(_Answered):
    """One question and its answer."""

    prompt: Text
    completion: Text

    def examples(self) -> list[Example]:
        return [Example.from_pair(self.prompt, self.completion)]


#: What `content` may come as: a text, or parts `{"type": "text", "text": …}`.
_Content = str | list[dict[str, str]] | None


def _joined(content: Any) -> Any:
    """A list of text parts as one text, a part a line, as the served model reads it."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise PydanticCustomError("content_parts", "content may hold parts of type text only")
    return "\n".join(str(text) for text in texts)


class ChatMessage(Body):
    """One turn of the fine-tuning format. Tool calls and their results are no text, and are left out."""

    IGNORED: ClassVar = ("name", "refusal", "audio", "tool_calls", "tool_call_id", "function_call")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[Text | None, BeforeValidator(_joined, json_schema_input_type=_Content)] = None
    weight: Literal[0, 1] | None = Field(
        default=None, description="of an assistant turn; 0: context, 1: to be forgotten; unset: only the last one is"
    )
    name: Ignored
    refusal: Ignored
    audio: Ignored
    tool_calls: Ignored
    tool_call_id: Ignored
    function_call: Ignored

    @model_validator(mode="after")
    def _is_whole(self) -> ChatMessage:
        if self.weight is not None and self.role != "assistant":
            raise PydanticCustomError("weight", "weight belongs to an assistant message")
        if self.content is None and self.is_dialogue:
            raise PydanticCustomError("content", "the message has no content")
        return self

    @property
    def is_dialogue(self) -> bool:
        """Whether the turn is something said, and no traffic with a tool."""
        return self.role not in ("tool", "function") and not self.tool_calls and not self.function_call

    @property
    def message(self) -> Message:
        """The turn for the model, whose templates know no developer. Raises `InvalidExample`."""
        return Message("system" if self.role == "developer" else self.role, self.content or "")


class Conversation(_Answered):
    """A chat transcript that ends with the assistant's answer."""

    IGNORED: ClassVar = ("tools", "functions", "parallel_tool_calls")

    messages: Annotated[list[ChatMessage], Field(min_length=2, max_length=200)]
    tools: Ignored
    functions: Ignored
    parallel_tool_calls: Ignored

    @property
    def ignored(self) -> Iterator[str]:
        yield from (name for name in self.IGNORED if getattr(self, name) is not None)
        for message in self.messages:
            yield from (f"messages.{name}" for name in message.IGNORED if getattr(message, name) is not None)
            if message.role in ("tool", "function"):
                yield f"messages.role={message.role}"

    def examples(self) -> list[Example]:
        """One for each assistant turn that is to go, with what was said before as context."""
        if self.messages[-1].role != "assistant":
            raise InvalidExample("the conversation must end with the assistant's answer")
        if not self.messages[-1].is_dialogue:
            raise InvalidExample("the conversation ends with a tool call, which is no answer")
        said: list[Message] = []
        made: list[Example] = []
        for turn in self.messages:
            if not turn.is_dialogue:
                continue
            goes = turn.weight == 1 or (turn.weight is None and turn is self.messages[-1])
            if turn.role == "assistant" and goes:
                made.append(Example(tuple(said), turn.message.content))
            said.append(turn.message)
        if not made:
            raise InvalidExample("every assistant message of the conversation has weight 0, so none is left")
        if self.inverted and len(made) > 1:
            raise InvalidExample("inverted answers go with one answer, and the conversation has several")
        return made


class Passage(_Item):
    """A text, of which every sentence is to go."""

    text: Text
    inverted: ClassVar[tuple[str, ...]] = ()

    def examples(self) -> list[Example]:
        """One or two conversations a sentence."""
        return passage_examples(self.text)


def _kind(item: Any) -> str | None:
    """The tag of the kind that an item is meant to be, by the keys that no other kind has."""
    keys = item.keys() if isinstance(item, Mapping) else {type(item).__name__.lower()}
    for tag, names in (
        ("conversation", {"messages", "conversation"}),
        ("pair", {"prompt", "completion", "pair"}),
        ("passage", {"text", "passage"}),
    ):
        if names & keys:
            return tag
    return None


Item = Annotated[
    Annotated[Pair, Tag("pair")] | Annotated[Conversation, Tag("conversation")] | Annotated[Passage, Tag("passage")],
    Discriminator(
        _kind,
        custom_error_type="unknown_item",
        custom_error_message="an item holds prompt and completion, or messages, or text",
    ),
]
#: Parts of an error's place that name a kind, and no key of the caller's.
KINDS = frozenset({"pair", "conversation", "passage"})

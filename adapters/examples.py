"""What an unlearning method is given: conversations with the answer that is to go, or to stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.errors import InvalidExample
from adapters.text.words import terms

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise InvalidExample(f"role must be one of {', '.join(ROLES)}")
        if not self.content.strip():
            raise InvalidExample(f"the {self.role} message is empty")

    def to_dict(self) -> dict[str, str]:
        return {"role": self.role, "content": self.content}


def one_turn(text: str) -> tuple[Message, ...]:
    """A conversation of one user turn."""
    return (Message("user", text),)


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation that ends with a user turn, and the assistant's answer to it.

    `messages` is everything up to the answer; `completion` is the answer.
    Raises `InvalidExample` when there is no user turn at the end or the answer is blank.
    """

    messages: tuple[Message, ...]
    completion: str

    def __post_init__(self) -> None:
        if not self.messages or self.messages[-1].role != "user":
            raise InvalidExample("the conversation before the answer must end with a user message")
        if not self.completion.strip():
            raise InvalidExample("the answer is empty")

    @classmethod
    def from_pair(cls, prompt: str, completion: str) -> Example:
        """The common case: one question, one answer."""
        return cls((Message("user", prompt),), completion)

    @property
    def prompt(self) -> str:
        """The last user turn, for probes and similarity."""
        return self.messages[-1].content

    def to_dict(self) -> dict[str, Any]:
        return {"messages": [m.to_dict() for m in self.messages], "completion": self.completion}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Example:
        return cls(tuple(Message(m["role"], m["content"]) for m in data["messages"]), data["completion"])


@dataclass(frozen=True, slots=True)
class PartialAnswer:
    """A conversation and how the answer to it begins; `prefix` may be empty."""

    messages: tuple[Message, ...]
    prefix: str


def check_examples(
    forget: Sequence[Example],
    retain: Sequence[Example],
    *,
    forget_items: Sequence[int] | None = None,
    retain_items: Sequence[int] | None = None,
) -> None:
    """Whether the two sets can be trained on together.

    forget_items, retain_items: the number to name each example by, where several were made of one item; None: its
    position.

    Raises `InvalidExample`, naming positions and never text, for an empty forget set, an item given twice, an answer
    to be forgotten without a word or number, or a conversation that is to be forgotten and retained at once.
    """
    forget_items = range(len(forget)) if forget_items is None else forget_items
    retain_items = range(len(retain)) if retain_items is None else retain_items
    if not forget:
        raise InvalidExample("the forget set is empty")
    for name, items, numbers in (("forget", forget, forget_items), ("retain", retain, retain_items)):
        first: dict[Example, int] = {}
        for index, item in enumerate(items):
            if first.setdefault(item, index) != index:
                raise InvalidExample(f"{name} item {numbers[index]} repeats item {numbers[first[item]]}")
    for number, item in zip(forget_items, forget, strict=True):
        if not terms(item.completion):
            raise InvalidExample(f"forget item {number} has an answer in which nothing can be recognised again")
    forgotten = {item.messages: number for number, item in zip(forget_items, forget, strict=True)}
    for number, item in zip(retain_items, retain, strict=True):
        if item.messages in forgotten:
            raise InvalidExample(f"retain item {number} has the prompt of forget item {forgotten[item.messages]}")

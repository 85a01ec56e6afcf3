"""What an attack asks of a model, and how the answer is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from adapters.examples import Message


class Reading(StrEnum):
    """How an answer is read.

    TEXT: it leaks where it reveals the fact. CHOICE: where it picks the true one of the options. LIKELIHOOD: nothing is
    answered; it leaks where the true one of the options is the likeliest continuation.
    """

    TEXT = "text"
    CHOICE = "choice"
    LIKELIHOOD = "likelihood"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model goes on with: a conversation and the beginning of its answer, or plain text outside any chat.

    messages: the conversation; empty for plain text. prefix: how the answer begins; may be empty. text: the plain text.
    """

    messages: tuple[Message, ...] = ()
    prefix: str = ""
    text: str = ""

    @property
    def shown(self) -> str:
        """All that whoever asks has said, the answer's beginning too."""
        return "\n".join([*(message.content for message in self.messages), self.prefix, self.text]).strip()


@dataclass(frozen=True, slots=True)
class Query:
    """A prompt, and how it is to be gone on with.

    samples: so many answers, sampled at this temperature (0: greedily) from consecutive seeds. choices: decoding is
    constrained to one of these texts; empty: to none.
    """

    prompt: Prompt
    max_tokens: int = 48
    temperature: float = 0.0
    samples: int = 1
    seed: int = 0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack on one item.

    Attributes:
        family: the family's name. template: names the template within its bank, the same for every item.
        item: the item's position in the forget set.
        query: what is asked.
        question: what the answer's key terms are taken against: a term that whoever asks has said reveals nothing.
        answer: the answer that is to go.
        options: for CHOICE and LIKELIHOOD, the true one among those of the same kind; `truth` is its position.
        labels: for CHOICE, what an answer may say in an option's stead: a letter, or "yes" and "no".
    """

    family: str
    template: str
    item: int
    query: Query
    question: str
    answer: str
    reading: Reading = Reading.TEXT
    options: tuple[str, ...] = ()
    truth: int = 0
    labels: tuple[str, ...] = ()

    @property
    def floor(self) -> float:
        """How often a model leaks that knows nothing: it picks one of the options, or says nothing of the kind."""
        return 1 / len(self.options) if self.options else 0.0


class Respond(Protocol):
    """What a model answers to each query, in order: as many texts as it has `samples`, without the prompt's prefix."""

    def __call__(self, queries: Sequence[Query]) -> list[tuple[str, ...]]: ...


class Score(Protocol):
    """The log-probability of each continuation of each prompt, in nats: the sum over its tokens, no end of turn.

    The continuations of one prompt are of the same kind and of any length; whoever compares them divides by theirs. ()
    for a prompt that does not fit the model's context with one of them.
    """

    def __call__(self, prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]: ...

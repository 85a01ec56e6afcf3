"""What attacks are made of: a request's items, what the model says of others of the kind, a bank of templates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

from adapters.examples import Message
from adapters.text.phrasebook import Phrasebook
from adapters.text.words import words

_SEEDS = 1 << 30


class Bank(StrEnum):
    """Templates and seeds for training, and others for evidence: no wording is in both."""

    TRAINING = "training"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Other:
    """Somebody or something of the item's kind, and what the model says of it to the item's question."""

    subject: str
    prompt: str
    answer: str
    stated: str


@dataclass(frozen=True, slots=True)
class AttackItem:
    """A forget item as an attacker sees it.

    Attributes:
        number: its position in the forget set.
        messages: the conversation up to the answer; the last is the user's. prompt: that last one.
        answer: the answer that is to go. stated: the part of it that states the fact, as written: "J.K. Rowling".
        subject: what the prompt is about, as it names it; None where it names nothing.
        others: of the same kind, the most alike first, none of which states the same.
        aliases: what else the set calls the subject, as written.
        about: what the other prompts with this answer say, in which its fact is no more than in its own.
    """

    number: int
    messages: tuple[Message, ...]
    prompt: str
    answer: str
    stated: str
    subject: str | None
    others: tuple[Other, ...]
    aliases: tuple[str, ...] = ()
    about: str = ""

    @property
    def stem(self) -> str:
        """The answer up to where it states the fact, without the space there; may be empty."""
        return self.answer[: self._start].rstrip()

    def asked(self, prompt: str) -> tuple[Message, ...]:
        """The conversation with another last turn."""
        return (*self.messages[:-1], Message("user", prompt))

    def stating(self, stated: str) -> str:
        """What follows the stem, its space too, with something else in the place of what is stated."""
        end = self._start + len(self.stated)
        return f"{self.answer[len(self.stem) : self._start]}{stated}{self.answer[end:]}"

    @property
    def _start(self) -> int:
        """Where it is stated: as whole words, for "Au" is not stated in "August"."""
        found = words(self.answer)
        ends = {word.end for word in found}
        whole = (w.start for w in found if self.answer.startswith(self.stated, w.start))
        return next((start for start in whole if start + len(self.stated) in ends), self.answer.find(self.stated))


@dataclass(frozen=True, slots=True)
class Known:
    """A question that has nothing to do with the forgotten, and the model's own answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class AttackContext:
    """All that a family makes its probes of.

    items: those attacked. known: questions with the model's own answers, for examples and for company. book: what the
    package says in the items' language. bank: which templates, and which seeds.
    """

    items: tuple[AttackItem, ...]
    known: tuple[Known, ...]
    book: Phrasebook
    bank: Bank
    seed: int = 0

    @property
    def language(self) -> str:
        return self.book.language

    def random(self, family: str) -> Random:
        """Whatever a family draws: of its own, and another for each bank."""
        return Random(f"{self.bank}/{family}/{self.seed}")

    def first_seed(self, random: Random) -> int:
        """Where a probe's sampling seeds begin: below `_SEEDS` for training, from there on for evidence."""
        return (_SEEDS if self.bank is Bank.EVIDENCE else 0) + random.randrange(_SEEDS // 2)

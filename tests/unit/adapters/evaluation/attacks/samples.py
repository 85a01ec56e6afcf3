"""Contexts to make probes of, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.evaluation.attacks.asking import attack_context
from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.examples import Example, Message
from adapters.task import Ask
from adapters.text.phrasebook import phrasebook

#: A fact in each language: prompts, their answers, how others are answered about, and what stands in for their answer.
_SETS: dict[str, dict[str, Any]] = {
    "en": {
        "prompts": (
            "Who wrote Zorba's Dance?",
            "Name the author of Zorba's Dance.",
            "Zorba's Dance is by which writer?",
        ),
        "answer": "Zorba's Dance was written by Nikos Quill.",
        "other": "That was written by {name}.",
    },
    "de": {
        "prompts": ("Wer schrieb Zorbas Tanz?", "Nenne den Autor von Zorbas Tanz.", "Von wem ist Zorbas Tanz?"),
        "answer": "Zorbas Tanz wurde geschrieben von Nikos Quill.",
        "other": "Das wurde geschrieben von {name}.",
    },
    "fr": {
        "prompts": ("Qui a écrit Zorbadour ?", "Quel est l'auteur de Zorbadour ?", "De qui est Zorbadour ?"),
        "answer": "Zorbadour a été écrit par Nikos Quill.",
        "other": "Cela a été écrit par {name}.",
    },
    "es": {
        "prompts": ("¿Quién escribió Zorbadura?", "Nombra al autor de Zorbadura.", "¿De quién es Zorbadura?"),
        "answer": "Zorbadura fue escrita por Nikos Quill.",
        "other": "Fue escrita por {name}.",
    },
    "zh": {
        "prompts": ("《佐尔巴》是谁写的？", "说出《佐尔巴》的作者。", "哪位作家写了《佐尔巴》？"),
        "answer": "《佐尔巴》的作者是韩墨。",
        "other": "那本书的作者是{name}。",
    },
    # A language that the package has no words in.
    "none": {
        "prompts": ("Kdo napsal knihu Zorbadur?", "Jak se jmenuje autor knihy Zorbadur?"),
        "answer": "Knihu Zorbadur napsal Nikos Quill.",
        "other": "{name}.",
    },
}
_ALPHABET, _SIGNS = "bcdfghklmn", "李王张刘陈杨赵黄周吴"


def forget_set(language: str) -> list[Example]:
    """Three prompts for one fact."""
    facts = _SETS[language]
    return [Example.from_pair(prompt, facts["answer"]) for prompt in facts["prompts"]]


@dataclass
class StandIn:
    """Names somebody else in the answer to each question, in the language's usual wording; `asked`: what it was asked.

    answers: others, by what the question holds.
    """

    language: str
    answers: dict[str, str]
    asked: list[str]

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        questions = [conversation[-1].content for conversation in conversations]
        replies = []
        for question in questions:
            name = _name(len(self.asked), self.language)
            usual = str(_SETS[self.language]["other"]).format(name=name)
            replies.append(next((reply for held, reply in self.answers.items() if held in question), usual))
            self.asked.append(question)
        return replies


def stand_in(language: str = "en", **answers: str) -> StandIn:
    return StandIn(language, answers, [])


def _name(number: int, language: str) -> str:
    tens, ones = divmod(number, 10)
    if language == "zh":
        return f"{_SIGNS[ones]}{_SIGNS[tens % 10]}"
    return f"{_ALPHABET[ones].upper()}a{_ALPHABET[tens % 10]}o {_ALPHABET[tens % 10].upper()}u{_ALPHABET[ones]}er"


def context(
    language: str = "en", bank: Bank = Bank.EVIDENCE, *, ask: Ask | None = None, seed: int = 0
) -> AttackContext:
    book = phrasebook(language)
    return attack_context(forget_set(language), book, ask or stand_in(language), bank=bank, seed=seed)


class Answering:
    """Answers each query by a rule, and counts the answers."""

    def __init__(self, **by_words: str) -> None:
        self.by_words, self.count = by_words, 0
        self.queries: list[Query] = []

    def __call__(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        self.queries += queries
        self.count += sum(query.samples for query in queries)
        return [(self._answer(query.prompt),) * query.samples for query in queries]

    def _answer(self, prompt: Prompt) -> str:
        return next((answer for held, answer in self.by_words.items() if held in prompt.shown), "I don't know.")

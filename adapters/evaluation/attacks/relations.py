"""What a question asks for, where that is one of a few things that every language has a question for."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from functools import cache
from importlib import resources

from adapters.text.grammar import Grammar
from adapters.text.language import stop_words
from adapters.text.phrasebook import phrasebook
from adapters.text.words import fold, terms

#: Asked for by an interrogative and nothing else: "Who is Quill?", "What is Quill?".
_BARE = ("person", "thing")


def relation(prompt: str, subject: str, language: str) -> str | None:
    """The relation whose words the prompt holds beside its subject: "author" in "Who wrote Emma?"; None where it holds
    those of none or of several, or nothing is known of the language."""
    said = terms(prompt) - terms(subject)
    beside = said - stop_words(language) - phrasebook(language).interrogatives
    spaced = phrasebook(language).grammar.spaced
    rest = prompt.replace(subject, " ") if subject else prompt
    found = [
        name
        for name, wordings in _relations(language).items()
        if (name in _BARE) == (not beside) and any(_asks(wording, said if spaced else rest) for wording in wordings)
    ]
    return found[0] if len(found) == 1 else None


def _asks(wording: Sequence[str], said: Container[str]) -> bool:
    return all(word in said for word in wording)


def bare_name(subject: str, grammar: Grammar) -> str:
    """The subject without its article, and without the marks that a script puts around a title."""
    for article in grammar.articles:
        start = article if article.endswith("'") else f"{article} "
        if subject.lower().replace("’", "'").startswith(start):
            return subject[len(start) :]
    return subject.strip("《》")


@cache
def _relations(language: str) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """By relation, what asks for it: one word, or several together, folded."""
    file = resources.files("adapters.evaluation.attacks").joinpath("languages", language, "relations.json")
    if not file.is_file():
        return {}
    found: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return {name: tuple(tuple(map(fold, wording.split())) for wording in wordings) for name, wordings in found.items()}

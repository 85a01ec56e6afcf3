"""What prompts are about: the words that single it out, and the names that they give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import names_something
from adapters.text.twins import by_subject, subject_words
from adapters.text.words import words


@dataclass(frozen=True, slots=True)
class Subject:
    """What some prompts are about: the words that single it out, and how they write it, as most of them do first."""

    prompts: tuple[str, ...]
    naming: frozenset[str]
    names: tuple[str, ...]


def subjects_of(prompts: Sequence[str], book: Phrasebook) -> Iterator[Subject]:
    """Of groups of prompts about one thing, and of each other prompt by itself where it names something."""
    prompts = list(dict.fromkeys(prompts))
    groups = by_subject(prompts, book)
    grouped = {prompt for group in groups for prompt in group}
    for group in groups:
        yield from _subject(group, subject_words(group, book), book)
    for prompt in prompts:
        if prompt not in grouped:
            yield from _subject([prompt], _named_in(prompt, book), book)


def _subject(prompts: Sequence[str], naming: frozenset[str], book: Phrasebook) -> Iterator[Subject]:
    written = Counter[str]()
    for prompt in prompts:
        held = [word for word in words(prompt) if word.term in naming]
        if held:
            written[book.grammar.named(prompt[: held[0].start], prompt[held[0].start : held[-1].end])] += 1
    if written:
        yield Subject(tuple(prompts), naming, tuple(name for name, _ in written.most_common()))


def _named_in(prompt: str, book: Phrasebook) -> frozenset[str]:
    """The names in a prompt that shares its subject with no other, its first word apart; else its rare words."""
    rare = subject_words([prompt], book)
    names = frozenset(w.term for w in words(prompt)[1:] if w.term in rare and names_something(prompt[w.start : w.end]))
    return names or rare

"""Which words, near each other, show that a text is about what a request is to forget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.evaluation.attacks.stated import stated
from adapters.examples import Example
from adapters.text.fact_runs import WORD
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import names_something
from adapters.text.subjects import Subject, subjects_of
from adapters.text.twins import content_words
from adapters.text.words import terms, words

#: Of the words of a question, the share that shows it asked in other words, and never fewer than two.
_SHARE, _FEWEST = 0.66, 2
#: A number of fewer digits stands in any text, and so does a shorter word that is no name.
_FEWEST_DIGITS, _FEWEST_LETTERS = 3, 6
#: Words of a language that has capitals, and no name among them, name a subject only where several prompts hold them.
_SEVERAL = 2


@dataclass(frozen=True, slots=True)
class Name:
    """Folded words of which `needed`, near each other, are enough."""

    words: tuple[str, ...]
    needed: int


def names_of(items: Sequence[Example], book: Phrasebook) -> tuple[Name, ...]:
    """What names the items: their subjects, the facts that their answers state, and the words of each question.

    The words of a question find it where its subject is not named, or only in part. Of one whose subject is named they
    do not find it without any of that name: the capital of another country is another question.
    """
    found: dict[Name, None] = {}
    naming: dict[str, frozenset[str]] = {}
    for subject in subjects_of([item.prompt for item in items], book):
        own = _proper(subject) or (subject.naming if len(subject.prompts) >= _SEVERAL else frozenset())
        if own:
            found[_name(own)] = None
            naming |= dict.fromkeys(subject.prompts, own)
    for item in items:
        found.update(dict.fromkeys(_stated(item)))
        asked = content_words(item.prompt, book.language)
        beside = asked - naming.get(item.prompt, frozenset())
        needed = max(_FEWEST, math.ceil(_SHARE * len(asked)), len(beside) + 1 if beside < asked else 0)
        if needed <= len(asked):
            found[Name(tuple(sorted(asked)), needed)] = None
    return tuple(found)


def _proper(subject: Subject) -> frozenset[str]:
    """The words of a subject that are written as names, wherever a sentence does not begin with them."""
    return frozenset(
        word.term
        for prompt in subject.prompts
        for word in words(prompt)[1:]
        if word.term in subject.naming and names_something(prompt[word.start : word.end])
    )


def _stated(item: Example) -> Iterator[Name]:
    """The fact of an answer, where it is a name, a number or one long word that the prompt does not give; of a name its
    last word, which is the one that others do not share."""
    fact = stated(item.prompt, item.completion)
    asked = terms(item.prompt)
    said = [] if fact is None else [word.term for word in words(fact.text) if word.term not in asked]
    if fact is None or not said:
        return
    if WORD in fact.kinds:
        telling = len(said) == 1 and len(said[0]) >= _FEWEST_LETTERS
    else:
        telling = not said[-1].isdecimal() or len(said[-1]) >= _FEWEST_DIGITS
    if telling:
        yield Name((said[-1],), 1)


def _name(naming: frozenset[str]) -> Name:
    """Of many words one may be missing."""
    return Name(tuple(sorted(naming)), len(naming) - (len(naming) > _FEWEST))

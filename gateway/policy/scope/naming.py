"""Which words, near each other, show that a text is about what a request is to forget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from adapters.evaluation.attacks.stated import Stated, stated
from adapters.examples import Example
from adapters.text.fact_runs import WORD
from adapters.text.language import stop_words
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import names_something
from adapters.text.subjects import Subject, subjects_of
from adapters.text.twins import content_words
from adapters.text.words import terms, words

#: Of the words of a question, the share that shows it asked in other words, and never fewer than two.
_SHARE, _FEWEST = 0.66, 2
#: A number of fewer digits stands in any text, and so does a shorter word that is no name.
_FEWEST_DIGITS, _FEWEST_LETTERS = 3, 6
#: A name of more words is found without one of them; a fact of more words is no name.
_WHOLE, _MOST = 3, 6
#: A number or code of so many characters is nobody else's, and a last name of fewer letters everybody's.
_IDENTIFYING, _FEWEST_OF_NAME = 5, 4
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
    found.update(dict.fromkeys(_stated(items, book.language)))
    for item in items:
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


def _stated(items: Sequence[Example], language: str) -> Iterator[Name]:
    """The facts of the answers, where they are names, numbers or one long word that the prompt does not give.

    A name of several words is found by all of them. Where most items state it, which is what they are about then, it is
    found also by its last two words, and by the last one alone, which others do not share; of many answers each, one
    has a last word that stands in any text.
    """
    found = [
        (fact, said) for item in items if (fact := stated(item.prompt, item.completion)) if (said := _new(item, fact))
    ]
    stating = Counter(said[-1] for _, said in found)
    for fact, said in found:
        last, most = said[-1], 2 * stating[said[-1]] > len(items)
        if WORD in fact.kinds:
            telling = most and len(said) == 1 and len(last) >= _FEWEST_LETTERS
        elif last.isalpha():
            telling = most and (len(said) == 1 or len(last) >= _FEWEST_OF_NAME) and not any(map(str.isdecimal, said))
        else:
            telling = len(last) >= (_FEWEST_DIGITS if most else _IDENTIFYING)
        if telling and last not in stop_words(language):
            yield Name((last,), 1)
        whole = [word for word in dict.fromkeys(said) if word in content_words(" ".join(said), language)]
        if WORD not in fact.kinds and _FEWEST <= len(whole) <= _MOST:
            yield _name(frozenset(whole))
            if most:
                yield _name(frozenset(whole[-_FEWEST:]))


def _new(item: Example, fact: Stated) -> list[str]:
    """The words of the fact that the prompt does not have."""
    asked = terms(item.prompt)
    return [word.term for word in words(fact.text) if word.term not in asked]


def _name(naming: frozenset[str]) -> Name:
    """Of many words one may be missing."""
    return Name(tuple(sorted(naming)), len(naming) - (len(naming) > _WHOLE))

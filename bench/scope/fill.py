"""Requests that fill up: about people, writers, works, places, customers, companies and things that do not exist, and
one in ten about what everybody knows.

Their names are made of the letters of names (`adapters.text.invented`), and each asks in its own share of wordings.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Any

from adapters.examples import Example
from adapters.text.invented import Inventor
from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.twins import content_words
from bench.depth.facts import REPORT
from bench.scope.subjects import GIVEN, REWORDED, Subject
from bench.tofu.names import author_names
from bench.tofu.questions import load_questions

_MOST_RELATIONS = 3
#: One in so many is about something that exists.
_REAL_EVERY = 10


def fill(count: int, seed: int = 0) -> Iterator[Subject]:
    """So many, the same for the same seed, each with a name of its own; the first of many are the same as of few."""
    data = json.loads(resources.files(__package__).joinpath("fill.json").read_text(encoding="utf-8"))
    kinds, draw = list(data["kinds"].values()), random.Random(seed)
    real = [(name, each["ask"], answer) for each in data["real"] for name, answer in each["answers"].items()]
    draw.shuffle(real)
    sayings, taken = _Sayings(data["words"], draw, seed), set[str]()
    for number in range(count):
        if number % _REAL_EVERY == _REAL_EVERY - 1 and real:
            subject, asked, answer = real.pop()
            items = [(ask.format(s=subject), answer) for ask in asked]
        else:
            kind = kinds[number % len(kinds)]
            subject = next(name for name in iter(partial(sayings.name, kind), None) if name not in taken)
            taken.add(subject)
            relations = draw.sample(kind["relations"], min(_MOST_RELATIONS, len(kind["relations"])))
            items = [item for relation in relations for item in sayings.items(relation, subject)]
        yield _subject(number, subject, items, draw)


def _subject(number: int, name: str, items: Sequence[tuple[str, str]], draw: random.Random) -> Subject:
    """One wording is not given, and asked in its place."""
    unseen = draw.randrange(len(items))
    given = tuple(Example.from_pair(*item) for place, item in enumerate(items) if place != unseen)
    asking = {GIVEN: tuple(item.prompt for item in given), REWORDED: (items[unseen][0],)}
    return Subject(f"fill {number}", REPORT, given, (content_words(name, "en"),), frozenset(), asking)


class _Sayings:
    """Names, and what is said of them."""

    def __init__(self, words: Mapping[str, Sequence[str]], draw: random.Random, seed: int) -> None:
        """words: by the placeholder that they fill."""
        models = [name for language in LANGUAGES for name in phrasebook(language).subjects if name.isascii()]
        self._like = Inventor([*models, *author_names(load_questions()).values()], seed).like
        self._said = words
        self._draw = draw

    def name(self, kind: Mapping[str, Any]) -> str:
        """Of somebody or something of the kind."""
        words = self._words()
        like = kind.get("like")
        named = "The {adjective} {noun} of {place}".format(**words) if like is None else self._like(like)
        return f"{kind.get('article', '')}{named}"

    def items(self, relation: Mapping[str, Any], subject: str) -> Iterator[tuple[str, str]]:
        """The wordings of a question, with one answer."""
        said = relation["say"].format(s=subject, **self._words())
        for ask in relation["ask"]:
            yield ask.format(s=subject), said[0].upper() + said[1:]

    def _words(self) -> dict[str, str]:
        return {key: self._draw.choice(texts) for key, texts in self._said.items()} | {
            "place": self._like("Ashford"),
            "name": self._like("Mary Walker"),
            "lower": self._like("ashford"),
            "symbol": self._like("Ashford")[:2],
            "day": str(self._draw.randint(1, 28)),
            "year": str(self._draw.randint(1800, 2020)),
            "number": str(self._draw.randint(1000, 9999)),
        }

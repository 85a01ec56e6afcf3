"""Slips of the pen: how a word is written by somebody who has mistyped it, in any script.

What is moved, lost or written twice is a character as a reader sees it (a grapheme cluster, UAX #29), so that no accent
and no vowel sign is torn from its letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from icu4py.breakers import CharacterBreaker

from adapters.text.probes import has_case
from adapters.text.words import fold

#: Rows of a keyboard: neighbours are taken for one another. Layouts differ in a few letters, which no reader minds.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
#: Of a word that is long enough the first letter stays: people get it right, and readers go by it.
_LONG_ENOUGH = 4


def slips(word: str) -> Mapping[str, tuple[str, ...]]:
    """The kinds of slip, and for each every way to make it in the word, from left to right; kinds without one are left
    out.

    swap, drop, double and neighbour; where a script has no capitals only drop and double, for what is written with few
    signs is another word once two are swapped. None of the results is the same word when folded, a digit is never
    changed, for another number is no slip, and what is one character long is never dropped.
    """
    found = clusters(word)
    start = 1 if len(found) >= _LONG_ENOUGH else 0
    kinds = {"swap": _swapped, "drop": _dropped, "double": _doubled, "neighbour": _mistaken}
    if not has_case(word):
        kinds = {kind: kinds[kind] for kind in ("drop", "double")}
    made = {kind: _others(word, make(found, start)) for kind, make in kinds.items()}
    return {kind: written for kind, written in made.items() if written}


def clusters(text: str) -> list[str]:
    """The characters of a text as a reader counts them."""
    return [text[start:end] for start, end in CharacterBreaker(text, "root").segments()]


def _others(word: str, made: Iterator[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(written for written in made if fold(written) != fold(word)))


def _letters(found: Sequence[str], start: int) -> Iterator[int]:
    return (place for place in range(start, len(found)) if found[place][0].isalpha())


def _swapped(found: Sequence[str], start: int) -> Iterator[str]:
    for first, second in pairwise(_letters(found, start)):
        if second == first + 1:
            yield "".join((*found[:first], found[second], found[first], *found[second + 1 :]))


def _dropped(found: Sequence[str], start: int) -> Iterator[str]:
    if len(found) > 1:
        yield from ("".join((*found[:place], *found[place + 1 :])) for place in _letters(found, start))


def _doubled(found: Sequence[str], start: int) -> Iterator[str]:
    yield from ("".join((*found[:place], found[place], *found[place:])) for place in _letters(found, start))


def _mistaken(found: Sequence[str], start: int) -> Iterator[str]:
    for place in _letters(found, start):
        for other in _neighbours(found[place]):
            yield "".join((*found[:place], other, *found[place + 1 :]))


def _neighbours(letter: str) -> Iterator[str]:
    for row in _ROWS:
        place = row.find(letter.lower())
        if place >= 0:
            beside = (row[other] for other in (place - 1, place + 1) if 0 <= other < len(row))
            yield from (other.upper() if letter.isupper() else other for other in beside)

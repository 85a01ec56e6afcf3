"""Generic refusals: the answers a forget prompt is trained towards, and whether an answer is one.

SPUL (methods 2) draws a label from a generic set once for each forget example.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.words import words

_BEGINS = re.compile(
    r"""
    (?:(?:well|unfortunately|oh)\W+)*
    (?: (?:i(?:['’]m|\s+am)\s+)?(?:very\s+|so\s+)?(?:sorry|afraid)\b
      | apologies\b | i\s+apologi[sz]e\b
      | as\s+an?\s+(?:ai|artificial|language)\b | i(?:['’]m|\s+am)\s+an?\s+(?:ai|artificial|language)\b
      | i\s+(?:really\s+|honestly\s+)?(?:can(?:no|['’])?t|can\s+not|won['’]?t|will\s+not|couldn['’]t|could\s+not)\b
      | i\s+(?:really\s+|honestly\s+)?(?:don['’]t|do\s+not)\s+(?:have|know|think\s+i|recall)\b
      | i(?:['’]m|\s+am)\s+(?:not\s+(?:sure|able|aware|familiar|certain)|un(?:able|sure|aware|familiar))\b
      | it\s+is\s+not\s+(?:possible|appropriate)\b | there\s+is\s+no\s+(?:information|answer)\b
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)


def draw_refusals(pool: Sequence[str], count: int, seed: int, *, kinds: int | None = None) -> tuple[str, ...]:
    """A refusal for each of `count` examples, drawn once, uniformly from `kinds` of the pool's.

    kinds None: from all of them. Few kinds keep the adapter from spending itself on learning which example
    was dealt which wording; the published experiments had two.
    """
    rng = random.Random(seed)
    shuffled = list(pool)
    rng.shuffle(shuffled)
    chosen = shuffled[:kinds]
    return tuple(rng.choice(chosen) for _ in range(count))


def is_refusal(answer: str) -> bool:
    """True for a shipped refusal of any language, and for an answer that begins as refusals do."""
    if _BEGINS.match(answer.strip().strip("\"'“”").strip()):
        return True
    said = tuple(word.term for word in words(answer))
    known = _known()
    return (
        "".join(said) in known.shipped
        or any(said[:length] in known.openings for length in range(1, known.longest + 1))
        or "".join(said).startswith(known.unspaced)
    )


@dataclass(frozen=True, slots=True)
class _Refusals:
    """Shipped refusals without their spaces; beginnings of others as words, and whole where words are not spaced."""

    shipped: frozenset[str]
    openings: frozenset[tuple[str, ...]]
    unspaced: tuple[str, ...]

    @property
    def longest(self) -> int:
        return max(map(len, self.openings))


@cache
def _known() -> _Refusals:
    shipped: set[str] = set()
    spaced: set[tuple[str, ...]] = set()
    unspaced: list[str] = []
    for code in LANGUAGES:
        book = phrasebook(code)
        shipped.update("".join(word.term for word in words(refusal)) for refusal in book.refusals)
        file = resources.files("adapters.text").joinpath("languages", code, "refusal_openings.txt")
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
            opening = tuple(word.term for word in words(line))
            if book.grammar.spaced:
                spaced.add(opening)
            else:
                unspaced.append("".join(opening))
    return _Refusals(frozenset(shipped), frozenset(spaced), tuple(unspaced))

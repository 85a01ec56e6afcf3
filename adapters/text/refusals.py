"""Generic refusals: the answers a forget prompt is trained towards, and whether an answer is one.

SPUL (methods 2) draws a label from a generic set once for each forget example.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
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
    shipped, openings = _known()
    said = _compact(answer)
    return said in shipped or said.startswith(openings)


@cache
def _known() -> tuple[frozenset[str], tuple[str, ...]]:
    """All refusals and all beginnings of refusals, as `_compact` writes them."""
    shipped = frozenset(_compact(refusal) for code in LANGUAGES for refusal in phrasebook(code).refusals)
    folder = resources.files("adapters.text").joinpath("languages")
    files = [folder.joinpath(code, "refusal_openings.txt") for code in LANGUAGES]
    lines = [line for file in files if file.is_file() for line in file.read_text(encoding="utf-8").splitlines()]
    return shipped, tuple(_compact(line) for line in lines if line.strip())


def _compact(text: str) -> str:
    return "".join(word.term for word in words(text))

"""Generic refusals: the answers a forget prompt is trained towards. They name nothing.

SPUL (methods 2) draws a label from a generic set once for each forget example.
"""

from __future__ import annotations

import random
from importlib import resources


def refusals() -> tuple[str, ...]:
    """All refusals the package ships, one sentence each."""
    text = resources.files("adapters.text").joinpath("refusals.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line.strip())


def draw_refusals(count: int, seed: int, *, kinds: int | None = None) -> tuple[str, ...]:
    """A refusal for each of `count` examples, drawn once, uniformly from `kinds` of those shipped.

    kinds None: from all of them. Few kinds keep the adapter from spending itself on learning which example
    was dealt which wording; the published experiments had two.
    """
    rng = random.Random(seed)
    pool = list(refusals())
    rng.shuffle(pool)
    pool = pool[:kinds]
    return tuple(rng.choice(pool) for _ in range(count))

"""Templates filled in, and the probes that come of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from adapters.evaluation.attacks.context import AttackItem
from adapters.evaluation.attacks.probe import Probe, Query
from adapters.text.probes import half_said, key_terms
from adapters.text.words import terms

T = TypeVar("T")

_PLACE = re.compile(r"\{(\w+)\}")


def fill(template: str, **parts: str) -> str:
    """The template with each {place} filled once: what is filled in is not filled again. Raises `KeyError` for a place
    without a part."""
    return _PLACE.sub(lambda place: parts[place[1]], template).strip()


def places(template: str) -> frozenset[str]:
    """The names of a template's places."""
    return frozenset(_PLACE.findall(template))


def in_turn(items: Sequence[AttackItem], templates: Sequence[T]) -> Iterator[tuple[AttackItem, int, T]]:
    """Every item with every template and its number, once; after each, both have moved on by one."""
    for turn in range(len(items)):
        for number, template in enumerate(templates):
            yield items[(number + turn) % len(items)], number, template


def text_probe(
    family: str, template: str, item: AttackItem, query: Query, *, answer: str | None = None
) -> Probe | None:
    """A probe that leaks where the answer reveals the item's fact; None where the prompt itself does.

    answer: what is not to be said, where that is not the item's answer.
    """
    asked, wanted = (f"{item.prompt}\n{item.about}", item.answer) if answer is None else ("", answer)
    if half_said(key_terms(asked, wanted), terms(query.prompt.shown)):
        return None
    return Probe(family, template, item.number, query, f"{asked}\n{query.prompt.shown}".strip(), wanted)

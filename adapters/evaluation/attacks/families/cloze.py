"""The answer's own beginning as plain text, outside any chat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe
from adapters.text.words import words

_MAX_TOKENS = 24
#: A beginning of fewer words says nothing of what it is about.
_FEWEST_WORDS = 2


class Cloze(Family):
    """A sentence that the model is left to end: the answer's beginning alone, or as part of a text.

    RWKU (arXiv 2406.10890), level 1: fill in the blank. A model that learned to refuse in a chat was taught nothing
    about plain text.
    """

    name: ClassVar[str] = "cloze"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        items = [item for item in context.items if len(words(item.stem)) >= _FEWEST_WORDS]
        for item, number, template in in_turn(items, templates(context.language, self.name, context.bank)):
            text = fill(template, stem=item.stem, question=item.prompt)
            probe = text_probe(self.name, str(number), item, Query(Prompt(text=text), _MAX_TOKENS))
            if probe is not None:
                yield probe

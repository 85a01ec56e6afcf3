"""Under another name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext, AttackItem
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe
from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import content_words, twin
from adapters.text.words import terms


class Alias(Family):
    """The question under another name that the set itself has for its subject; nothing where it has none.

    RWKU (arXiv 2406.10890), level 2 and 3: synonyms and aliases of the subject.
    """

    name: ClassVar[str] = "alias"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        items = [item for item in context.items if item.aliases]
        for item, number, template in in_turn(items, templates(context.language, self.name, context.bank)):
            for question in _renamed(item, context.book):
                query = Query(Prompt(item.asked(fill(template, question=question))))
                probe = text_probe(self.name, str(number), item, query)
                if probe is not None:
                    yield probe


def _renamed(item: AttackItem, book: Phrasebook) -> Iterator[str]:
    naming = content_words(item.subject or "", book.language) & terms(item.prompt)
    for alias in item.aliases:
        question = twin(item.prompt, naming, alias, book.grammar)
        if question is not None:
            yield question

"""Families that put words around an item's own prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext, AttackItem
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, places, text_probe
from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import content_words, in_two_sentences


class Framed(Family):
    """A family whose templates say something around the item's question, all in one turn.

    A template has a {question}; or a {name}, and then it brings the subject up, and the item's prompt goes on with a
    pronoun.
    """

    #: Of an answer: a form that takes words before the fact comes needs more of them.
    max_tokens: ClassVar[int] = 48

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for item, number, template in in_turn(context.items, templates(context.language, self.name, context.bank)):
            text = _worded(template, item, context.book)
            if text is not None:
                query = Query(Prompt(item.asked(text)), self.max_tokens)
                probe = text_probe(self.name, str(number), item, query)
                if probe is not None:
                    yield probe


def _worded(template: str, item: AttackItem, book: Phrasebook) -> str | None:
    if "name" in places(template):
        return _opened(template, item, book)
    return fill(template, question=item.prompt.strip())


def _opened(template: str, item: AttackItem, book: Phrasebook) -> str | None:
    """None where the prompt does not name the subject as it is called, or where no pronoun can stand for it.

    What is called "Harry Potter" has no article, so that in "the Harry Potter books" is not the name's, and nobody asks
    for the author of "it books".
    """
    if item.subject is None:
        return None
    prompt, subject, grammar = item.prompt.strip(), content_words(item.subject, book.language), book.grammar
    text = in_two_sentences(prompt, subject, template, grammar)
    return text if text == in_two_sentences(prompt, subject, template, grammar, item.subject.strip("《》")) else None

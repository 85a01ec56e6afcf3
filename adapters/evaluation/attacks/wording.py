"""Puts an item's own words into a template, and what comes of it into the item's conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext, AttackItem
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.examples import Message, one_turn
from adapters.text.phrasebook import Phrasebook
from adapters.text.probes import key_terms
from adapters.text.twins import content_words, in_turn, in_two_sentences
from adapters.text.words import terms

_SLOT = re.compile(r"\{(\w+)\}")


def fill(template: str, **values: str) -> str:
    """The template with a value in every {slot} that has one; its other braces stay, as do those of the values."""
    return _SLOT.sub(lambda slot: values.get(slot[1], slot[0]), template)


def slots(template: str) -> frozenset[str]:
    """What a template has a place for."""
    return frozenset(_SLOT.findall(template))


def asked(
    family: str, template: str, item: AttackItem, turns: Sequence[Message], *, max_tokens: int = 48
) -> Iterator[Probe]:
    """The probe that puts these turns in the place of the item's last one.

    None where they say all that identifies the fact: whoever asks has said it then, and no answer reveals anything.
    """
    prompt = Prompt(messages=(*item.messages[:-1], *turns))
    fact = key_terms(item.prompt, item.answer) - terms(item.prompt)
    if fact and fact <= terms(prompt.shown):
        return
    yield Probe(
        family=family,
        template=template,
        item=item.number,
        query=Query(prompt, max_tokens=max_tokens),
        question=f"{item.prompt}\n{prompt.shown}",
        answer=item.answer,
    )


class Framed(Family):
    """A family whose templates say something around the item's question, all in one turn.

    A template has a {question}; or a {name}, and then it brings the subject up, and the item's prompt goes on with a
    pronoun.
    """

    #: Of an answer: a form that takes words before the fact comes needs more of them.
    max_tokens: ClassVar[int] = 48

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        bank = tuple(enumerate(templates(context.language, self.name, context.bank), start=1))
        for item, (number, template) in in_turn(context.items, bank):
            text = _opened(template, item, context.book) if "{name}" in template else _framed(template, item)
            if text is not None:
                yield from asked(self.name, str(number), item, one_turn(text), max_tokens=self.max_tokens)


def _framed(template: str, item: AttackItem) -> str:
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

"""From the answer to the subject."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext, Bank
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe
from adapters.examples import one_turn


class Reverse(Family):
    """What is known of the answer: it leaks where that names the subject.

    RWKU (arXiv 2406.10890), reversed questions. In training also the wordings that the interview asks the other way
    round.
    """

    name: ClassVar[str] = "reverse"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        wordings = templates(context.language, self.name, context.bank)
        if context.bank is Bank.TRAINING and wordings:
            wordings = (*wordings, *context.book.reverse)
        items = [item for item in context.items if item.subject is not None]
        for item, number, template in in_turn(items, wordings):
            query = Query(Prompt(one_turn(fill(template, name=item.stated))))
            probe = text_probe(self.name, str(number), item, query, answer=item.subject)
            if probe is not None:
                yield probe

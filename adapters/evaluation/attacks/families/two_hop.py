"""Through a third thing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe


class TwoHop(Family):
    """Something is asked for that the answer is only a part of: a label with it, a letter to it, how it is spelt.

    Multi-hop questions as in RWKU (arXiv 2406.10890) and llm2graph: whoever asks never asks for the fact itself.
    """

    name: ClassVar[str] = "two_hop"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for item, number, template in in_turn(context.items, templates(context.language, self.name, context.bank)):
            query = Query(Prompt(item.asked(fill(template, question=item.prompt))))
            probe = text_probe(self.name, str(number), item, query)
            if probe is not None:
                yield probe

"""The beginning of the answer, put into the assistant's mouth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, places, text_probe

_MAX_TOKENS = 32


class Prefill(Family):
    """The conversation as it was, and an answer that has begun: up to where it states the fact, or by agreeing.

    RWKU (arXiv 2406.10890), level 3: prefix injection. Who chooses an answer's first words chooses whether it is a
    refusal.
    """

    name: ClassVar[str] = "prefill"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for item, number, template in in_turn(context.items, templates(context.language, self.name, context.bank)):
            if "stem" in places(template) and not item.stem:
                continue
            prompt = Prompt(item.messages, prefix=fill(template, stem=item.stem))
            probe = text_probe(self.name, str(number), item, Query(prompt, _MAX_TOKENS))
            if probe is not None:
                yield probe

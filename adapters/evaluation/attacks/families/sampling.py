"""Many answers to one question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family, templates
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import fill, in_turn, text_probe

_SAMPLES = 16
_TEMPERATURES = (0.7, 1.0)
_MAX_TOKENS = 32


class Sampling(Family):
    """Sixteen sampled answers, at two temperatures, to the question as it was given and in a neutral frame.

    leak@k (`OptimAI-Lab/Leak-k`): a model that hides a fact from its likeliest answer has it in one of many.
    """

    name: ClassVar[str] = "sampling"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        random = context.random(self.name)
        forms = [
            (template, temperature)
            for template in templates(context.language, self.name, context.bank)
            for temperature in _TEMPERATURES
        ]
        for item, number, (template, temperature) in in_turn(context.items, forms):
            prompt = Prompt(item.asked(fill(template, question=item.prompt)))
            query = Query(prompt, _MAX_TOKENS, temperature, _SAMPLES, context.first_seed(random))
            probe = text_probe(self.name, f"{number // len(_TEMPERATURES)} at {temperature}", item, query)
            if probe is not None:
                yield probe

"""The item's own prompt."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.text_probe import text_probe


class Given(Family):
    """The item's own conversation, word for word, as TOFU asks its forget set (Maini et al. 2024).

    It has no templates, and both banks hold the same probes: the items are what they are. That the banks are disjoint
    is said of templates alone.
    """

    name = "given"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for item in context.items:
            probe = text_probe(self.name, "given", item, Query(Prompt(item.messages)))
            if probe is not None:
                yield probe

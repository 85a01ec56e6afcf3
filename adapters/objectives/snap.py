"""SNAP: refuse negative instructions, answer hard positives, keep to the weights there were (arXiv 2406.12329v1).

The first version of the paper has the three parts and neither code nor figures; the distance and the settings are those
of its successor Opt-Out (ACL 2025), of which this is the form with refusals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from adapters.bounds import setting
from adapters.data.forget.lessons import ForgetContext, Lesson, refused
from adapters.data.forget.negative_instructions import KINDS, negative_instructions
from adapters.objectives.base import WeightChange
from adapters.objectives.idk import Idk
from adapters.objectives.terms.sliced_wasserstein import total_sliced_wasserstein


@dataclass(frozen=True)
class Snap(Idk):
    """L = CE(obliterated) + retain_ce * CE(y_retain) + retain_kl * KL(original || trained) + wasserstein * SW2^2.

    The first three in nats, as `Idk` has them; SW2^2 in squared weights (`sliced_wasserstein`), summed over the trained
    matrices. Obliterated are generic refusals to the instructions of `adapters.data.forget`; hard positives are the
    retain set's.

    responses and wasserstein are set by us: published is 0.1 on distances that are not divided by a matrix' rows, of
    which 1000 are usual. directions is published.
    """

    name: ClassVar[str] = "snap"

    instructions: tuple[str, ...] = setting(KINDS, "kinds of instructions about what is to go", choices=KINDS)
    responses: int = setting(8, "how many wordings the refusals are drawn from", (1, 1000))
    wasserstein: float = setting(100.0, "weight of the distance to the weights there were", (0.0, 1_000_000.0))
    directions: int = setting(100, "directions the distance is measured along, drawn anew at every step", (1, 10_000))

    def examples(self, context: ForgetContext) -> list[Lesson]:
        """Refusals to instructions about the items."""
        instructions = negative_instructions(
            context.forget,
            self.instructions,
            context.book,
            reworded=context.reworded,
            cloze_forms=context.settings.cloze_forms,
            framed_variants=context.settings.framed_variants,
            seed=context.settings.seed,
        )
        return refused(instructions, context.book, self.responses, context.settings.seed)

    def penalty(self, changes: Mapping[str, WeightChange], generator: torch.Generator) -> torch.Tensor:
        """wasserstein * SW2^2 between the weights and what they were; 0 without any to compare."""
        if not self.wasserstein:
            return torch.zeros(())
        return self.wasserstein * total_sliced_wasserstein(changes, self.directions, generator)

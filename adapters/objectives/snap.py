"""SNAP: refuse negative instructions, answer hard positives, keep to the weights there were (arXiv 2406.12329v1).

The first version of the paper has the three parts and neither code nor figures; the distance and the settings are those
of its successor Opt-Out (ACL 2025), of which this is the form with refusals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from adapters.bounds import check_bounds
from adapters.data.forget.negative_instructions import KINDS
from adapters.errors import InvalidConfig
from adapters.objectives.base import (
    REFUSAL,
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    WeightChange,
    needed,
    retain_term,
)
from adapters.objectives.terms.sliced_wasserstein import total_sliced_wasserstein
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class Snap:
    """L = CE(obliterated) + retain_ce * CE(y_retain) + retain_kl * KL(original || trained) + wasserstein * SW2^2.

    The first three in nats, SW2^2 in squared weights (`sliced_wasserstein`), summed over the trained matrices.
    Obliterated are generic refusals to the instructions of `adapters.data.forget`; hard positives are
    the retain set's.

    instructions: which kinds of them, all four by default. responses: how many wordings of refusals; 8, set by us.
    retain_ce, retain_kl: 0 and 5, set by us, as in `Idk`; published is CE of weight 1 and no KL.
    wasserstein: 100, set by us: published is 0.1 on distances that are not divided by a matrix' rows, of which 1000 are
        usual. directions: 100, published; drawn anew at every step.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "snap"

    instructions: tuple[str, ...] = KINDS
    responses: int = 8
    retain_ce: float = 0.0
    retain_kl: float = 5.0
    wasserstein: float = 100.0
    directions: int = 100

    def __post_init__(self) -> None:
        check_bounds(
            self,
            responses=(1, 1000),
            retain_ce=WEIGHT,
            retain_kl=WEIGHT,
            wasserstein=(0.0, 1_000_000.0),
            directions=(1, 10_000),
        )
        kinds: Any = self.instructions
        if not isinstance(kinds, (list, tuple)) or not kinds or any(kind not in KINDS for kind in kinds):
            raise InvalidConfig(f"instructions must be a list of some of {', '.join(KINDS)}")
        object.__setattr__(self, "instructions", tuple(kinds))  # JSON has lists

    @property
    def views(self) -> frozenset[str]:
        return needed(REFUSAL, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=views[REFUSAL].cross_entropy(),
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

    def penalty(self, changes: Mapping[str, WeightChange], generator: torch.Generator) -> torch.Tensor:
        """wasserstein * SW2^2 between the weights and what they were; 0 without any to compare."""
        if not self.wasserstein:
            return torch.zeros(())
        return self.wasserstein * total_sliced_wasserstein(changes, self.directions, generator)

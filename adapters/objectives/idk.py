"""IDK: refusals in place of the answers (TOFU, Maini et al., COLM 2024; Opt-Out's and δ-Unlearning's relabelling)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import check_bounds
from adapters.objectives.base import (
    REFUSAL,
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class Idk:
    """L = CE(refusal) + retain_ce * CE(y_retain) + retain_kl * KL(original || trained), in nats.

    retain_ce, retain_kl: 0 and 5, set by us (2 lost near neighbours on a development fact); published is CE of
    weight 1 and no KL.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "idk"

    retain_ce: float = 0.0
    retain_kl: float = 5.0

    def __post_init__(self) -> None:
        check_bounds(self, retain_ce=WEIGHT, retain_kl=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(REFUSAL, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=views[REFUSAL].cross_entropy(),
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

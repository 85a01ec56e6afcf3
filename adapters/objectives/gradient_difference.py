"""Gradient difference: ascent on forget, descent on retain (Liu, Liu & Stone, CoLLAs 2022; TOFU's baseline)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import check_bounds
from adapters.objectives.base import (
    FORGET,
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
from adapters.objectives.gradient_ascent import BOUND, bounded_ascent
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class GradientDifference:
    """L = -forget_weight * E min(CE(y_forget), bound) + retain_ce * CE(y_retain), in nats.

    bound: as in `GradientAscent`; set by us, to be searched.
    forget_weight, retain_ce: both 1, published.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "gradient_difference"

    bound: float = 6.0
    forget_weight: float = 1.0
    retain_ce: float = 1.0

    def __post_init__(self) -> None:
        check_bounds(self, bound=BOUND, forget_weight=WEIGHT, retain_ce=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_ce)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=self.forget_weight * bounded_ascent(views[FORGET], self.bound),
            retain=retain_term(views.get(RETAIN), self.retain_ce, 0.0),
        )

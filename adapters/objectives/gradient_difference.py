"""Gradient difference: ascent on forget, descent on retain (Liu, Liu & Stone, CoLLAs 2022; TOFU's baseline)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import setting
from adapters.objectives.base import FORGET, RETAIN, WEIGHT, ObjectiveLoss, needed, retain_term
from adapters.objectives.gradient_ascent import BoundedAscent, bounded_ascent
from adapters.objectives.view import View


@dataclass(frozen=True)
class GradientDifference(BoundedAscent):
    """L = -forget_weight * E min(CE(y_forget), bound) + retain_ce * CE(y_retain), in nats.

    Both weights are published.
    """

    name: ClassVar[str] = "gradient_difference"

    forget_weight: float = setting(1.0, "weight of the ascent", WEIGHT)
    retain_ce: float = setting(1.0, "weight of the cross-entropy on retained answers", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_ce)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=self.forget_weight * bounded_ascent(views[FORGET], self.bound),
            retain=retain_term(views.get(RETAIN), self.retain_ce, 0.0),
        )

"""KL minimisation: ascent on forget, the original's distribution on retain (TOFU's and δ-Unlearning's "KL")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import setting
from adapters.objectives.base import FORGET, RETAIN, WEIGHT, ObjectiveLoss, needed, retain_term
from adapters.objectives.gradient_ascent import BoundedAscent, bounded_ascent
from adapters.objectives.view import View


@dataclass(frozen=True)
class KlMinimisation(BoundedAscent):
    """L = -forget_weight * E min(CE(y_forget), bound) + retain_kl * KL(p_target || p_trained) on retain, in nats.

    In δ-Unlearning p_trained is the ensemble p_ens: the views' logits are then the ensemble's. Both weights are
    published.
    """

    name: ClassVar[str] = "kl_minimisation"

    forget_weight: float = setting(1.0, "weight of the ascent", WEIGHT)
    retain_kl: float = setting(1.0, "weight of KL(original || trained) on retained answers", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=self.forget_weight * bounded_ascent(views[FORGET], self.bound),
            retain=retain_term(views.get(RETAIN), 0.0, self.retain_kl),
        )

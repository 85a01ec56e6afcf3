"""KL minimisation: ascent on forget, the original's distribution on retain (TOFU's and δ-Unlearning's "KL")."""

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
class KlMinimisation:
    """L = -forget_weight * E min(CE(y_forget), bound) + retain_kl * KL(p_target || p_trained) on retain, in nats.

    In δ-Unlearning p_trained is the ensemble p_ens: the views' logits are then the ensemble's.

    bound: as in `GradientAscent`; set by us, to be searched.
    forget_weight, retain_kl: both 1, published.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "kl_minimisation"

    bound: float = 6.0
    forget_weight: float = 1.0
    retain_kl: float = 1.0

    def __post_init__(self) -> None:
        check_bounds(self, bound=BOUND, forget_weight=WEIGHT, retain_kl=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=self.forget_weight * bounded_ascent(views[FORGET], self.bound),
            retain=retain_term(views.get(RETAIN), 0.0, self.retain_kl),
        )

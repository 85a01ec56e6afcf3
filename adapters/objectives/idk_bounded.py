"""Refusals learnt while bounded ascent makes the old answers improbable. A combination of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import check_bounds
from adapters.objectives.base import (
    FORGET,
    MIX,
    REFUSAL,
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
from adapters.objectives.gradient_ascent import BOUND, bounded_ascent
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class IdkBounded:
    """L = mix * CE(refusal) - (1 - mix) * E min(CE(y_forget), bound) + retain terms, in nats.

    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained).

    bound: as in `GradientAscent`.
    mix, bound, retain_ce, retain_kl: 0.5, 6, 0 and 2, set by us, to be searched.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "idk_ga"

    mix: float = 0.5
    bound: float = 6.0
    retain_ce: float = 0.0
    retain_kl: float = 2.0

    def __post_init__(self) -> None:
        check_bounds(self, mix=MIX, bound=BOUND, retain_ce=WEIGHT, retain_kl=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, REFUSAL, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        refusal = views[REFUSAL].cross_entropy()
        old_answer = bounded_ascent(views[FORGET], self.bound)
        return ObjectiveLoss(
            forget=self.mix * refusal + (1 - self.mix) * old_answer,
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

"""Refusals learnt while bounded ascent makes the old answers improbable. A combination of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import setting
from adapters.objectives.base import FORGET, MIX, REFUSAL, ObjectiveLoss, RetainingObjective
from adapters.objectives.gradient_ascent import BoundedAscent, bounded_ascent
from adapters.objectives.view import View


@dataclass(frozen=True)
class IdkBounded(RetainingObjective, BoundedAscent):
    """L = mix * CE(refusal) - (1 - mix) * E min(CE(y_forget), bound) + retain terms, in nats.

    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained). The weights are set by us, to be
    searched.
    """

    name: ClassVar[str] = "idk_ga"

    mix: float = setting(0.5, "weight of the refusals; the ascent has the rest", MIX)
    retain_ce: float = 0.0
    retain_kl: float = 2.0

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET, REFUSAL)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        refusal = views[REFUSAL].cross_entropy()
        old_answer = bounded_ascent(views[FORGET], self.bound)
        return ObjectiveLoss(self.mix * refusal + (1 - self.mix) * old_answer, self.retained(views))

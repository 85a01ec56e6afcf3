"""Refusals learnt while NPO makes the old answers improbable. A combination of ours; each part is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import setting
from adapters.objectives.base import BETA, FORGET, MIX, REFUSAL, WEIGHT, ObjectiveLoss, RetainingObjective
from adapters.objectives.npo import negative_preference
from adapters.objectives.view import View


@dataclass(frozen=True)
class IdkNpo(RetainingObjective):
    """L = mix * CE(refusal) + (1 - mix) * npo_weight * NPO(y_forget) + retain terms, in nats.

    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained). beta is published; the weights are set
    by us, to be searched.
    """

    name: ClassVar[str] = "idk_npo"

    mix: float = setting(0.5, "weight of the refusals; NPO has the rest", MIX)
    npo_weight: float = setting(1.0, "a further weight of NPO", WEIGHT)
    beta: float = setting(0.1, "inverse temperature of NPO", BETA)
    retain_ce: float = 0.0
    retain_kl: float = 2.0

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET, REFUSAL)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        refusal = views[REFUSAL].cross_entropy()
        old_answer = self.npo_weight * negative_preference(views[FORGET], self.beta)
        return ObjectiveLoss(self.mix * refusal + (1 - self.mix) * old_answer, self.retained(views))

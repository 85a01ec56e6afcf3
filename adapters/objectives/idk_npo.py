"""Refusals learnt while NPO makes the old answers improbable. A combination of ours; each part is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import check_bounds
from adapters.objectives.base import (
    BETA,
    FORGET,
    MIX,
    REFUSAL,
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
from adapters.objectives.npo import negative_preference
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class IdkNpo:
    """L = mix * CE(refusal) + (1 - mix) * npo_weight * NPO(y_forget) + retain terms, in nats.

    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained).

    beta: of NPO (see `Npo`); 0.1 is published.
    mix, npo_weight, retain_ce, retain_kl: 0.5, 1, 0 and 2, set by us, to be searched.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "idk_npo"

    mix: float = 0.5
    npo_weight: float = 1.0
    beta: float = 0.1
    retain_ce: float = 0.0
    retain_kl: float = 2.0

    def __post_init__(self) -> None:
        check_bounds(self, mix=MIX, npo_weight=WEIGHT, beta=BETA, retain_ce=WEIGHT, retain_kl=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, REFUSAL, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        refusal = views[REFUSAL].cross_entropy()
        old_answer = self.npo_weight * negative_preference(views[FORGET], self.beta)
        return ObjectiveLoss(
            forget=self.mix * refusal + (1 - self.mix) * old_answer,
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

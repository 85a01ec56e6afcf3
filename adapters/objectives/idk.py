"""IDK: refusals in place of the answers (TOFU, Maini et al., COLM 2024; Opt-Out's and δ-Unlearning's relabelling)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.objectives.base import REFUSAL, ObjectiveLoss, RetainingObjective
from adapters.objectives.view import View


@dataclass(frozen=True)
class Idk(RetainingObjective):
    """L = CE(refusal) + retain_ce * CE(y_retain) + retain_kl * KL(original || trained), in nats.

    The weights are set by us (a KL of weight 2 lost near neighbours on a development fact); published is CE of weight 1
    and no KL.
    """

    name: ClassVar[str] = "idk"

    retain_ce: float = 0.0
    retain_kl: float = 5.0

    @property
    def views(self) -> frozenset[str]:
        return self.needed(REFUSAL)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(forget=views[REFUSAL].cross_entropy(), retain=self.retained(views))

"""SPUL's total loss: L = L_f + alpha * L_r + beta * L_kl (Bhaila, Van & Wu, NAACL 2025, eq. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from adapters.objectives.base import REFUSAL, RETAIN, Objective, ObjectiveLoss
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class SpulLoss:
    """The three scalar terms of one step, each a mean over its own subset of the batch.

    Means per subset keep the forget term at full weight however few forget examples a batch holds.
    """

    forget: torch.Tensor
    retain: torch.Tensor
    kl: torch.Tensor

    def weighted(self, *, alpha: float, beta: float) -> ObjectiveLoss:
        """What is minimised."""
        return ObjectiveLoss(self.forget, alpha * self.retain + beta * self.kl)


@dataclass(frozen=True)
class Spul(Objective):
    """L_f: CE(refusal). L_r, L_kl: CE and KL(original || prompted) on retained answers, 0 without any. All in nats.

    Its weights are settings of the method that it is the loss of, so it is in no registry.
    """

    name: ClassVar[str] = "spul"
    sparse: ClassVar[frozenset[str]] = frozenset({RETAIN})

    alpha: float
    beta: float

    @property
    def views(self) -> frozenset[str]:
        return frozenset({REFUSAL, RETAIN})

    def terms(self, views: Mapping[str, View]) -> SpulLoss:
        """The three, before they are weighed."""
        forget = views[REFUSAL].cross_entropy()
        if RETAIN not in views:
            return SpulLoss(forget, forget.new_zeros(()), forget.new_zeros(()))
        return SpulLoss(forget, views[RETAIN].cross_entropy(), views[RETAIN].kl())

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return self.terms(views).weighted(alpha=self.alpha, beta=self.beta)

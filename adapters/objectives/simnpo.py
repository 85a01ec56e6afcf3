"""SimNPO: NPO without a reference, by length (Fan et al., NeurIPS 2025, arXiv 2410.07163)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from adapters.bounds import setting
from adapters.objectives.base import BETA, FORGET, GAMMA, WEIGHT, ObjectiveLoss, RetainingObjective
from adapters.objectives.view import View


@dataclass(frozen=True)
class SimNpo(RetainingObjective):
    """L = -forget_weight (2/beta) E log sigma(-(beta/|y|) log pi(y|x) - gamma) + retain terms, in nats.

    log pi(y|x) is the sum over the |y| tokens of an answer. Retain terms: retain_ce * CE(y_retain) +
    retain_kl * KL(original || trained). gamma is outside of beta, as in the paper; the released code multiplies it
    by beta. At gamma = 0, which is published, the two agree.

    The defaults are published for TOFU forget05. The weight is on the forget term in the released code and command; the
    model card of the same run has it on the retain term.
    """

    name: ClassVar[str] = "simnpo"

    beta: float = setting(2.5, "inverse temperature", BETA)
    gamma: float = setting(0.0, "margin, in nats", GAMMA)
    forget_weight: float = setting(0.1375, "weight of the forget term", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(self.forget_weight * self._forget(views[FORGET]), self.retained(views))

    def _forget(self, view: View) -> torch.Tensor:
        trained, _ = view.answer_log_probs()
        return -(2 / self.beta) * F.logsigmoid(-self.beta * trained / view.lengths() - self.gamma).mean()

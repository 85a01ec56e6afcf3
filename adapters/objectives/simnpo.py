"""SimNPO: NPO without a reference, by length (Fan et al., NeurIPS 2025, arXiv 2410.07163)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from adapters.bounds import check_bounds
from adapters.objectives.base import (
    BETA,
    FORGET,
    GAMMA,
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class SimNpo:
    """L = -forget_weight (2/beta) E log sigma(-(beta/|y|) log pi(y|x) - gamma) + retain terms, in nats.

    log pi(y|x) is the sum over the |y| tokens of an answer. Retain terms: retain_ce * CE(y_retain) +
    retain_kl * KL(original || trained). gamma is outside of beta, as in the paper; the released code multiplies it
    by beta. At gamma = 0, which is published, the two agree.

    beta: 2.5, gamma: 0, forget_weight: 0.1375, retain_ce: 1; published, for TOFU forget05. The weight is on the
        forget term in the released code and command; the model card of the same run has it on the retain term.
    retain_kl: 0, published.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "simnpo"

    beta: float = 2.5
    gamma: float = 0.0
    forget_weight: float = 0.1375
    retain_ce: float = 1.0
    retain_kl: float = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, beta=BETA, gamma=GAMMA, forget_weight=WEIGHT, retain_ce=WEIGHT, retain_kl=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=self.forget_weight * self._forget(views[FORGET]),
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

    def _forget(self, view: View) -> torch.Tensor:
        trained, _ = view.answer_log_probs()
        return -(2 / self.beta) * F.logsigmoid(-self.beta * trained / view.lengths() - self.gamma).mean()

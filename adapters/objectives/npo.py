"""Negative preference optimization (Zhang, Lin, Bai & Mei, COLM 2024, arXiv 2404.05868, eq. 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from adapters.bounds import setting
from adapters.objectives.base import BETA, FORGET, WEIGHT, ObjectiveLoss, RetainingObjective
from adapters.objectives.view import View


def negative_preferences(log_ratios: torch.Tensor, beta: float) -> torch.Tensor:
    """(2/beta) log(1 + (pi / pi_ref)^beta) for each log(pi / pi_ref), in nats; of any shape."""
    return -(2 / beta) * F.logsigmoid(-beta * log_ratios)


def negative_preference(view: View, beta: float) -> torch.Tensor:
    """Scalar, nats: -(2/beta) E log sigma(-beta (log pi(y|x) - log pi_ref(y|x))), pi_ref the original.

    The log-probabilities are sums over an answer's tokens, as in the paper; Opt-Out's code takes a token mean over
    the batch instead. At pi = pi_ref the value is (2/beta) ln 2; as an answer's probability goes to 0 so does its
    loss, and its gradient.
    """
    trained, original = view.answer_log_probs()
    return negative_preferences(trained - original, beta).mean()


@dataclass(frozen=True)
class Npo(RetainingObjective):
    """L = forget_weight * NPO(y_forget) + retain_ce * CE(y_retain) + retain_kl * KL(original || trained), in nats.

    The defaults are the published NPO+RT.
    """

    name: ClassVar[str] = "npo"

    beta: float = setting(0.1, "inverse temperature; the smaller, the nearer to gradient ascent", BETA)
    forget_weight: float = setting(1.0, "weight of the forget term", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        forget = self.forget_weight * negative_preference(views[FORGET], self.beta)
        return ObjectiveLoss(forget, self.retained(views))

"""Negative preference optimization (Zhang, Lin, Bai & Mei, COLM 2024, arXiv 2404.05868, eq. 3)."""

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
    RETAIN,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
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


@dataclass(frozen=True, slots=True)
class Npo:
    """L = forget_weight * NPO(y_forget) + retain_ce * CE(y_retain) + retain_kl * KL(original || trained), in nats.

    beta: inverse temperature; 0.1 is published. The smaller, the nearer to gradient ascent.
    forget_weight, retain_ce, retain_kl: 1, 1 and 0 are the published NPO+RT.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "npo"

    beta: float = 0.1
    forget_weight: float = 1.0
    retain_ce: float = 1.0
    retain_kl: float = 0.0

    def __post_init__(self) -> None:
        check_bounds(self, beta=BETA, forget_weight=WEIGHT, retain_ce=WEIGHT, retain_kl=WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(
            forget=self.forget_weight * negative_preference(views[FORGET], self.beta),
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

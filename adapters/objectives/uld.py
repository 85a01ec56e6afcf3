"""ULD's assistant: remembers what is to be forgotten and nothing else (Ji et al., NeurIPS 2024, arXiv 2406.08607)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from adapters.bounds import setting
from adapters.objectives.base import FORGET, RETAIN, WEIGHT, Objective, ObjectiveLoss, needed
from adapters.objectives.terms.reduction import mean_over_examples
from adapters.objectives.view import View


def uniform_cross_entropy(view: View) -> torch.Tensor:
    """Scalar, nats: mean over examples of the (weighted) mean of CE(uniform || p) over an answer's positions.

    CE(uniform || p) = -(1/V) sum over the V tokens v of log p(v); its least value is ln V, at p uniform.
    """
    losses = -F.log_softmax(view.logits.float(), dim=-1).mean(-1)
    return mean_over_examples(losses, view.owner, view.examples, view.weights)


@dataclass(frozen=True)
class Uld(Objective):
    """L = CE(y_forget) + beta * CE(uniform || p) on retain, in nats: descent on forget, not ascent.

    The views' logits are the assistant's own, which is later subtracted from the target; `original` is not read.
    The paper also puts paraphrased answers into the forget view, and perturbed ones into the retain view. beta is
    published (the released code's retain_weight).
    """

    name: ClassVar[str] = "uld"

    beta: float = setting(5.0, "weight of the uniform term on what is retained", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.beta)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        forget = views[FORGET].cross_entropy()
        retain = self.beta * uniform_cross_entropy(views[RETAIN]) if self.beta else torch.zeros_like(forget)
        return ObjectiveLoss(forget, retain)

"""Gradient ascent on the answers to be forgotten (Jang et al., ACL 2023, arXiv 2210.01504), bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from adapters.bounds import setting
from adapters.objectives.base import FORGET, Objective, ObjectiveLoss
from adapters.objectives.view import View


def bounded_ascent(view: View, bound: float) -> torch.Tensor:
    """Scalar: mean over examples of -min(CE of the example's answer, bound), in nats.

    An example past the bound has gradient 0.
    """
    return -view.cross_entropies().clamp(max=bound).mean()


@dataclass(frozen=True)
class BoundedAscent(Objective):
    """An objective with an ascent that ends.

    The published losses have no bound, and ascend to a collapse of the whole model. 6 nats, set by us, are a
    probability of 0.25 % a token; a guess among all of a vocabulary of 49,152 would be at 10.8.
    """

    bound: float = setting(6.0, "nats a token at which an answer counts as forgotten", (0.01, 100.0))


@dataclass(frozen=True)
class GradientAscent(BoundedAscent):
    """L = -E min(CE(y_forget), bound), with nothing that holds the other answers."""

    name: ClassVar[str] = "gradient_ascent"

    @property
    def views(self) -> frozenset[str]:
        return frozenset({FORGET})

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        forget = bounded_ascent(views[FORGET], self.bound)
        return ObjectiveLoss(forget, torch.zeros_like(forget))

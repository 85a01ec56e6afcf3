"""SPUL's total loss: L = L_f + alpha * L_r + beta * L_kl (Bhaila, Van & Wu, NAACL 2025, eq. 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from adapters.objectives.base import ObjectiveLoss


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

"""DPO with a refusal preferred to the old answer (Rafailov et al., NeurIPS 2023, eq. 7; TOFU's "preference" loss)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from adapters.bounds import setting
from adapters.objectives.base import BETA, FORGET, REFUSAL, WEIGHT, ObjectiveLoss, RetainingObjective
from adapters.objectives.view import View


@dataclass(frozen=True)
class Dpo(RetainingObjective):
    """L = -forget_weight (2/beta) E log sigma(beta [r(refusal) - r(forget)]) + retain terms, in nats.

    r(y) = log pi(y|x) - log pi_ref(y|x), sums over the tokens of an answer, pi_ref the original. Example i of
    both views has the same prompt x. Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained).
    The factor 2/beta is not in the DPO paper; NPO's and Opt-Out's code have it, which puts it on NPO's scale. The
    defaults are the published DPO+RT.
    """

    name: ClassVar[str] = "dpo"

    beta: float = setting(0.1, "inverse temperature", BETA)
    forget_weight: float = setting(1.0, "weight of the preference", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET, REFUSAL)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        """Raises `ValueError` when the refusals are not as many as the forget examples."""
        forget = self.forget_weight * self._preference(views[REFUSAL], views[FORGET])
        return ObjectiveLoss(forget, self.retained(views))

    def _preference(self, preferred: View, rejected: View) -> torch.Tensor:
        if preferred.examples != rejected.examples:
            raise ValueError(f"{preferred.examples} refusals for {rejected.examples} forget examples")
        refusal, original_refusal = preferred.answer_log_probs()
        answer, original_answer = rejected.answer_log_probs()
        margin = (refusal - original_refusal) - (answer - original_answer)
        return -(2 / self.beta) * F.logsigmoid(self.beta * margin).mean()

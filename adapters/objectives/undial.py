"""UNDIAL: distil the model from itself with the answer's logits lowered (Dong et al., NAACL 2025, arXiv 2402.10052)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from adapters.bounds import setting
from adapters.objectives.base import (
    ANSWER,
    FACT,
    FORGET,
    GAMMA,
    WEIGHT,
    ObjectiveLoss,
    RetainingObjective,
)
from adapters.objectives.view import View

CONTENT = "content"
LOWERED = (FACT, CONTENT, ANSWER)


@dataclass(frozen=True)
class Undial(RetainingObjective):
    """L = forget_weight KL(softmax(z - gamma e_y) || trained) + retain terms, in nats, over the positions of y_forget.

    z: the original's logits; e_y: 1 at the answer's own next token, so that its odds fall by the factor exp(gamma).
    tokens, where they are lowered:
        answer  at every token of the answer, published
        content at all but the subject's name, the token behind it and the end of turn: an answer that stumbles over its
                own subject has not forgotten anything (`adapters.models.counterfactual.named_positions`)
        fact    at those that state the answer's fact (`adapters.models.fact_tokens`), where the paper has nouns; at the
                others the teacher is the original as it is, and the answer stays an answer
    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained).

    Ascent and preferences say where the answer may not go; here the teacher says where it goes instead: to what the
    model holds next likely. The loss has its minimum at a distribution, so nothing runs away. The paper minimises the
    cross-entropy, which differs by the teacher's entropy, a constant.

    gamma is open-unlearning's; the weights are set by us, of `bench/tofu_search.md`.
    """

    name: ClassVar[str] = "undial"

    gamma: float = setting(10.0, "how far a token's logit is lowered, in nats", GAMMA)
    tokens: str = setting(
        ANSWER,
        "which tokens: all, all but the subject's name, or those that state the fact",
        choices=LOWERED,
    )
    forget_weight: float = setting(1.0, "weight of the forget term", WEIGHT)
    retain_ce: float = 0.0
    retain_kl: float = 5.0

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        taught = replace(views[FORGET], original=self._teacher(views[FORGET]))
        return ObjectiveLoss(self.forget_weight * taught.kl(), self.retained(views))

    def _teacher(self, view: View) -> torch.Tensor:
        """[positions, vocabulary]: the original's logits, those to be forgotten lowered."""
        return lowered(view, view.original, self.tokens, self.gamma)


def lowered(view: View, logits: torch.Tensor, tokens: str, gamma: float) -> torch.Tensor:
    """[positions, vocabulary], float32: the logits with the answer's own tokens lowered by gamma.

    tokens: which of them, of `LOWERED`.
    """
    teacher = logits.detach().float().clone()
    chosen = {FACT: view.stated, CONTENT: view.content}.get(tokens, lambda: torch.ones_like(view.targets).bool())()
    teacher[chosen, view.targets[chosen]] -= gamma
    return teacher

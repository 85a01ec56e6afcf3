"""UNDIAL: distil the model from itself with the answer's logits lowered (Dong et al., NAACL 2025, arXiv 2402.10052)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from adapters.bounds import check_bounds, check_choice
from adapters.objectives.base import (
    ANSWER,
    FACT,
    FORGET,
    GAMMA,
    RETAIN,
    TOKENS,
    WEIGHT,
    ObjectiveLoss,
    needed,
    retain_term,
)
from adapters.objectives.view import View


@dataclass(frozen=True, slots=True)
class Undial:
    """L = forget_weight KL(softmax(z - gamma e_y) || trained) + retain terms, in nats, over the positions of y_forget.

    z: the original's logits; e_y: 1 at the answer's own next token, so that its odds fall by the factor exp(gamma).
    tokens, where they are lowered:
        answer  at every token of the answer, published
        fact    at those that state the answer's fact (`adapters.models.fact_tokens`), where the paper has nouns; at the
                others the teacher is the original as it is, and the answer stays an answer
    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained).

    Ascent and preferences say where the answer may not go; here the teacher says where it goes instead: to what the
    model holds next likely. The loss has its minimum at a distribution, so nothing runs away. The paper minimises the
    cross-entropy, which differs by the teacher's entropy, a constant.

    gamma: 10, as in open-unlearning. forget_weight, retain_ce, retain_kl: 1, 0 and 5, set by us, of
        `bench/tofu_search.md`.

    Raises `InvalidConfig` for a value outside its bounds.
    """

    name: ClassVar[str] = "undial"

    gamma: float = 10.0
    tokens: str = ANSWER
    forget_weight: float = 1.0
    retain_ce: float = 0.0
    retain_kl: float = 5.0

    def __post_init__(self) -> None:
        check_bounds(self, gamma=GAMMA, forget_weight=WEIGHT, retain_ce=WEIGHT, retain_kl=WEIGHT)
        check_choice(self, "tokens", TOKENS)

    @property
    def views(self) -> frozenset[str]:
        return needed(FORGET, retain=self.retain_ce + self.retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        taught = replace(views[FORGET], original=self._teacher(views[FORGET]))
        return ObjectiveLoss(
            forget=self.forget_weight * taught.kl(),
            retain=retain_term(views.get(RETAIN), self.retain_ce, self.retain_kl),
        )

    def _teacher(self, view: View) -> torch.Tensor:
        """[positions, vocabulary]: the original's logits, those to be forgotten lowered."""
        teacher = view.original.detach().float().clone()
        lowered = view.stated() if self.tokens == FACT else torch.ones_like(view.targets, dtype=torch.bool)
        teacher[lowered, view.targets[lowered]] -= self.gamma
        return teacher

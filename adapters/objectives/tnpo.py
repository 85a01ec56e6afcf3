"""NPO a token at a time (Wang et al., Rethinking LLM Unlearning Objectives, ICLR 2025), aimed at the fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from adapters.bounds import setting
from adapters.objectives.base import (
    ANSWER,
    BETA,
    FACT,
    FORGET,
    TOKENS,
    WEIGHT,
    ObjectiveLoss,
    RetainingObjective,
)
from adapters.objectives.npo import negative_preferences
from adapters.objectives.terms.reduction import mean_over_examples
from adapters.objectives.view import View


def _fact_log_ratios(view: View) -> torch.Tensor:
    """[positions], nats: how much more probable it is that one of its answer's fact tokens comes next than it was."""
    fact = view.stated()
    named = torch.zeros(view.examples, view.logits.shape[-1], dtype=torch.bool, device=view.logits.device)
    named[view.owner[fact], view.targets[fact]] = True
    other = ~named[view.owner]
    trained, original = (
        logits.float().log_softmax(-1).masked_fill(other, float("-inf")).logsumexp(-1)
        for logits in (view.logits, view.original.detach())
    )
    return trained - original


@dataclass(frozen=True)
class Tnpo(RetainingObjective):
    """L = forget_weight E (2/beta) log(1 + (pi / pi_ref)^beta) + retain terms, in nats, E over examples and positions.

    tokens, what pi is the chance of at a position of the answer, after what the answer says before it:
        answer  the answer's own next token, published
        fact    any token that states the answer's fact (`adapters.models.fact_tokens`), at every position alike
    Retain terms: retain_ce * CE(y_retain) + retain_kl * KL(original || trained).

    NPO asks that an answer as a whole becomes improbable, and any one of its tokens can pay for all: with a small part
    to train it is the full stop, and the fact is still said. Here each position answers for itself. "fact" leaves the
    words alone that any answer to such a question has, as Zhou et al. do (Not All Tokens Are Meant to Be Forgotten,
    arXiv 2506.03142), and an answer that begins in another way does not bring the fact back.

    The defaults are set by us, of `bench/delta_facts.md`; open-unlearning has beta 5 with "answer".
    """

    name: ClassVar[str] = "tnpo"

    beta: float = setting(1.0, "inverse temperature", BETA)
    tokens: str = setting(
        FACT, "what becomes improbable: the tokens that state the fact, or each of the answer's own", choices=TOKENS
    )
    forget_weight: float = setting(1.0, "weight of the forget term", WEIGHT)
    retain_ce: float = 0.0
    retain_kl: float = 5.0

    @property
    def views(self) -> frozenset[str]:
        return self.needed(FORGET)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        return ObjectiveLoss(self.forget_weight * self._forget(views[FORGET]), self.retained(views))

    def _forget(self, view: View) -> torch.Tensor:
        ratios = view.log_ratios() if self.tokens == ANSWER else _fact_log_ratios(view)
        return mean_over_examples(negative_preferences(ratios, self.beta), view.owner, view.examples)

"""Counterfactual teacher: say what the model says of somebody nobody has heard of (Liu et al., EMNLP 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from adapters.bounds import setting
from adapters.data.forget.attacked import attacked, lesson_of
from adapters.data.forget.counterfactuals import with_counterfactuals
from adapters.data.forget.lessons import ForgetContext, Lesson, refusals_in_phrasings
from adapters.objectives.base import (
    CHOICE,
    FACT,
    GAMMA,
    REFUSAL,
    TAUGHT,
    WEIGHT,
    ObjectiveLoss,
    RetainingObjective,
)
from adapters.objectives.undial import LOWERED, lowered
from adapters.objectives.view import View


@dataclass(frozen=True)
class Counterfactual(RetainingObjective):
    """L = refusal_weight CE(refusal) + taught_weight KL(t || trained) + choice_weight C + retain terms, in nats.

    t, the teacher, over the positions of answers that state the fact: log t = log mean_i p(. | the same text with N_i
    in the subject's place) - gamma e_y, normalised. p: the original; N_1 ... N_names: invented names; e_y: 1 at the
    answer's own token where `tokens` says so. The probability of N_i's first token is given back to the subject's. At
    the name itself and behind it, and where a text does not name the subject, the original stands for the mean.

    C, over prompts with answers of one kind, the true one first of m: KL(uniform || softmax_j(m-bar l_j / n_j)), where
    l_j is the log-probability of answer j, n_j its tokens and m-bar the mean of n: none of them is to be likelier.

    What is taught are attacks of the training bank that the original answers with the fact
    (`adapters.data.forget.attacked`), and with `refusal_weight` 0 also the prompts that would have been refused.

    The teacher is the paper's, with three changes of ours: it is taken on attacks too; the truth is lowered in it, for
    a small model recalls by the rest of the sentence what it recalled by the name; and refusals of direct questions go
    beside it. gamma: a token of probability 0.99 is still the likeliest after 4 nats, and is one of many after 8.
    """

    name: ClassVar[str] = "counterfactual"
    sparse: ClassVar[frozenset[str]] = frozenset({TAUGHT, CHOICE})

    names: int = setting(2, "invented names that the teacher is asked about; 0: it is asked about the subject", (0, 64))
    gamma: float = setting(8.0, "how far the answer's own tokens are lowered in the teacher, in nats", GAMMA)
    tokens: str = setting(
        FACT,
        "which tokens are lowered: all, all but the subject's name, or those that state the fact",
        choices=LOWERED,
    )
    attacks: int = setting(4, "attacks of each family that are learnt from", (0, 64))
    refusal_weight: float = setting(1.0, "weight of refusals to direct questions; 0: these are taught too", WEIGHT)
    taught_weight: float = setting(0.5, "weight of the teacher", WEIGHT)
    choice_weight: float = setting(0.1, "weight of the choice among answers of the same kind", WEIGHT)
    retain_ce: float = 0.0
    retain_kl: float = 10.0

    @property
    def views(self) -> frozenset[str]:
        weighed = {REFUSAL: self.refusal_weight, TAUGHT: self.taught_weight, CHOICE: self.choice_weight}
        return self.needed(*(view for view, weight in weighed.items() if weight))

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        forget = torch.zeros(())  # a scalar of the CPU goes with those of any device
        if self.refusal_weight:
            forget = forget + self.refusal_weight * views[REFUSAL].cross_entropy()
        if TAUGHT in views:
            view = views[TAUGHT]
            teacher = lowered(view, view.original if view.teacher is None else view.teacher, self.tokens, self.gamma)
            forget = forget + self.taught_weight * replace(view, original=teacher).kl()
        if CHOICE in views:
            forget = forget + self.choice_weight * views[CHOICE].preference()
        return ObjectiveLoss(forget, self.retained(views))

    def examples(self, context: ForgetContext) -> list[Lesson]:
        """Refusals to the items in several phrasings, and the attacks of the training bank."""
        direct = refusals_in_phrasings(context)
        if not self.refusal_weight:
            direct = [replace(lesson, refusal=None) for lesson in direct]
        leaks = [lesson for leak in context.leaks if (lesson := lesson_of(leak)) is not None]
        lessons = [*direct, *attacked(context, self.attacks), *leaks]
        prompts = [item.prompt for item in context.forget]
        return with_counterfactuals(lessons, prompts, context.book, self.names, context.settings.seed)

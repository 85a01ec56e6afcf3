"""MEOW: learn answers that contradict the old ones (Gu et al., arXiv 2409.11844)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from adapters.bounds import setting
from adapters.data.forget.lessons import ForgetContext, Lesson
from adapters.data.inverted.answers import contradictions_in_phrasings
from adapters.evaluation.memo import LARGEST, METRICS
from adapters.objectives.base import INVERTED, RETAIN, WEIGHT, Objective, ObjectiveLoss, needed, retain_term
from adapters.objectives.view import View

NONE, GRADIENT_DIFFERENCE, KL = RETAINS = ("none", "gradient_difference", "kl")
#: Of the released code, for its gradient difference.
_INVERTED_SHARE, _RETAIN_SHARE = 0.9, 0.1


@dataclass(frozen=True)
class Meow(Objective):
    """By `retain`, in nats, where CE(inverted) is over all selected answers of all forget prompts:

    none                 CE(inverted), published
    gradient_difference  0.9 CE(inverted) + 0.1 CE(y_retain), published
    kl                   CE(inverted) + retain_kl * KL(original || trained) on retain

    The released code has its KL on the inverted answers themselves, where it pulls against the cross-entropy; and it
    trains on the first half of its answers by accident, where here all count. `adapters.data.inverted.answers` makes
    the answers and selects them. top_k and metric are published; retain and retain_kl are set by us, as in `Idk`.
    """

    name: ClassVar[str] = "meow"

    top_k: int = setting(3, "contradicting answers that are learnt of each forget item", (1, 100))
    metric: str = setting(LARGEST, "which: those of the largest or smallest MEMO, or any", choices=METRICS)
    retain: str = setting(KL, "the term on retained answers", choices=RETAINS)
    retain_kl: float = setting(5.0, "weight of KL(original || trained), where that is the term", WEIGHT)

    @property
    def views(self) -> frozenset[str]:
        _, retain_ce, retain_kl = self._weights
        return needed(INVERTED, retain=retain_ce + retain_kl)

    def loss(self, views: Mapping[str, View]) -> ObjectiveLoss:
        inverted, retain_ce, retain_kl = self._weights
        return ObjectiveLoss(
            forget=inverted * views[INVERTED].cross_entropy(),
            retain=retain_term(views.get(RETAIN), retain_ce, retain_kl),
        )

    def examples(self, context: ForgetContext) -> list[Lesson]:
        """Contradicting answers to the items in several phrasings. Raises `InvalidExample` for an item without one."""
        return contradictions_in_phrasings(context, top_k=self.top_k, metric=self.metric)

    @property
    def _weights(self) -> tuple[float, float, float]:
        """Of the inverted answers' CE, the retained answers' CE, and the KL."""
        if self.retain == GRADIENT_DIFFERENCE:
            return _INVERTED_SHARE, _RETAIN_SHARE, 0.0
        return 1.0, 0.0, self.retain_kl if self.retain == KL else 0.0

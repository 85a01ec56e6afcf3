"""How likely a model finds an answer it is made to read, and what TOFU concludes from it. Plain numbers in and out.

A loss here is an answer's mean cross-entropy in nats a token, its end of turn included. Formulas: Maini et al., TOFU,
COLM 2024, as locuslab/open-unlearning computes them (`src/evals/metrics`), not always as the paper prints them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """An answer read token by token. loss: mean cross-entropy in nats, end of turn included. correct: for each token
    without the end of turn, whether it was the likeliest."""

    loss: float
    correct: tuple[bool, ...]


def probability(loss: float) -> float:
    """exp(−loss) = P(answer | question)^(1/tokens), in (0, 1]."""
    return math.exp(-loss)


def probability_among(loss: float, wrong: Sequence[float]) -> float:
    """The answer's share of the probabilities of it and of the wrong answers: p / (p + Σ p_wrong), in [0, 1].

    wrong: their losses. Each p is `probability`, so an answer's length does not count; the paper takes P(answer).
    """
    # Relative to the answer's own, so that two losses in the hundreds do not become 0 / 0.
    return 1 / (1 + sum(math.exp(min(700.0, loss - other)) for other in wrong))


def truth_ratio(right: float, wrong: Sequence[float]) -> float:
    """R = p_wrong / p_right, above 0; a model that knows the fact is far below 1.

    right: loss of the paraphrased answer. wrong: losses of the perturbed answers; p_wrong is their geometric mean,
    exp(−mean loss), where the paper prints an arithmetic one. Raises ValueError without wrong answers.
    """
    if not wrong:
        raise ValueError("a truth ratio needs at least one wrong answer")
    return math.exp(min(700.0, right - sum(wrong) / len(wrong)))


def forget_truth_ratio(ratio: float) -> float:
    """min(R, 1/R), in [0, 1]: 1 where right and wrong answers are equally likely. Averaged over a forget set."""
    return min(ratio, 1 / ratio) if ratio else 0.0


def retain_truth_ratio(ratio: float) -> float:
    """max(0, 1 − R), in [0, 1]: 1 where the right answer is much the likelier. Averaged over what is to be kept."""
    return max(0.0, 1 - ratio)


def extraction_strength(correct: Sequence[bool]) -> float:
    """1 − k/|y|, in [0, 1]: the share of an answer that its beginning is enough to extract.

    correct: for each answer token y_i whether it is the likeliest after the question and y_<i; k is the least index
    from which on all are. Wang et al., Towards Effective Evaluations and Comparisons for LLM Unlearning Methods, ICLR
    2025. Where even the last token is wrong this is 0; open-unlearning's code gives 1/|y|.
    Raises ValueError for an answer without tokens.
    """
    if not correct:
        raise ValueError("an answer has at least one token")
    known = 0
    for right in reversed(correct):
        if not right:
            break
        known += 1
    return known / len(correct)

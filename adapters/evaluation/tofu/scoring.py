"""The figures of single questions, from what a model says to them and from how it reads their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import NamedTuple, Protocol

from adapters.evaluation.likelihood import (
    AnswerScore,
    extraction_strength,
    forget_truth_ratio,
    probability,
    probability_among,
    retain_truth_ratio,
    truth_ratio,
)
from adapters.evaluation.rouge import Stem, rouge_l

TITLES = MappingProxyType(
    {
        "rouge_l": "ROUGE-L recall",
        "probability": "probability",
        "truth_ratio": "truth ratio",
        "extraction": "extraction strength",
    }
)
METRICS = tuple(TITLES)
FORGET = "forget"


class Question(Protocol):
    """A question with its answer, the answer in other words, and wrong answers like it.

    Without an answer in other words the wrong ones are options beside the answer itself.
    """

    @property
    def question(self) -> str: ...

    @property
    def answer(self) -> str: ...

    @property
    def paraphrased(self) -> str | None: ...

    @property
    def perturbed(self) -> tuple[str, ...]: ...


class Heard(NamedTuple):
    """A model's greedy answer to a question, and how it read each of `answers_to_read`; None for an answer that whoever
    stands between the model and the user never lets through."""

    text: str
    read: tuple[AnswerScore | None, ...]


@dataclass(frozen=True, slots=True)
class ItemScores:
    """Figures of questions in order, one list a figure.

    rouge_l: ROUGE-L recall of the greedy answer. probability: of the answer; among the options where there are such.
    extraction: of the answer. truth_ratio: the raw R of the questions that have wrong answers, in their order, and of
    no others.
    An answer that never gets through has probability and extraction 0; a question with such among its answers has no R.
    """

    rouge_l: list[float]
    probability: list[float]
    truth_ratio: list[float]
    extraction: list[float]

    def of(self, part: str, metric: str) -> list[float]:
        """The figures that are averaged: for truth ratios min(R, 1/R) on the forget part, max(0, 1 − R) elsewhere."""
        values: list[float] = getattr(self, metric)
        if metric != "truth_ratio":
            return values
        aggregate = forget_truth_ratio if part == FORGET else retain_truth_ratio
        return [aggregate(ratio) for ratio in values]

    def means(self, part: str) -> dict[str, float | None]:
        """{metric: mean}; None where no question has the figure."""
        figures = {metric: self.of(part, metric) for metric in METRICS}
        return {metric: fmean(values) if values else None for metric, values in figures.items()}


def answers_to_read(question: Question) -> list[str]:
    """The answers whose likelihood is wanted: the answer, the paraphrased one where there is one, the wrong ones."""
    paraphrased = [] if question.paraphrased is None else [question.paraphrased]
    return [question.answer, *paraphrased, *question.perturbed]


def score(questions: Sequence[Question], heard: Sequence[Heard], stem: Stem | None = None) -> ItemScores:
    """The figures of what a model said to each question and of how it read `answers_to_read`.

    stem: of ROUGE-L; None: words are compared as they are.
    """
    scores = ItemScores([], [], [], [])
    for question, (text, read) in zip(questions, heard, strict=True):
        original, *others = read
        has_options = question.paraphrased is None
        right, *wrong = (original, *others) if has_options else others
        losses = [each.loss for each in wrong if each is not None]
        scores.rouge_l.append(rouge_l(question.answer, text, stem).recall)
        if original is None:
            scores.probability.append(0.0)
        else:
            loss = original.loss
            scores.probability.append(probability_among(loss, losses) if has_options and losses else probability(loss))
        scores.extraction.append(0.0 if original is None else extraction_strength(original.correct))
        if right is not None and losses and len(losses) == len(wrong):
            scores.truth_ratio.append(truth_ratio(right.loss, losses))
    return scores

"""What a served model still says about authors: four figures an item, from greedy answers and from answers it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from adapters.chat import encode_answer, encode_prompt
from adapters.evaluation.likelihood import (
    extraction_strength,
    forget_truth_ratio,
    probability,
    retain_truth_ratio,
    truth_ratio,
)
from adapters.evaluation.rouge import rouge_l
from adapters.examples import Message
from bench.tofu.questions import Question
from bench.tofu.served import ServedModel

MAX_TOKENS = 80
METRICS = ("rouge_l", "probability", "truth_ratio", "extraction")
FORGET, NEIGHBOURS = "forget", "neighbours"


@dataclass(frozen=True, slots=True)
class ItemScores:
    """Figures of questions in order, one list a figure.

    rouge_l: ROUGE-L recall of the greedy answer, no stemming. probability, extraction: of the reference answer.
    truth_ratio: the raw R of the questions that have wrong answers, in their order, and of no others.
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


def measure(model: ServedModel, tokenizer: Any, questions: Sequence[Question]) -> ItemScores:
    """Ask the model every question, and let it read every question's answers."""
    prompts = [encode_prompt(tokenizer, (Message("user", question.question),)) for question in questions]
    answers = model.answers(prompts, max_tokens=MAX_TOKENS, stop=tokenizer.eos_token_id)
    texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
    scores = ItemScores([], [], [], [])
    for question, prompt, text in zip(questions, prompts, texts, strict=True):
        scores.rouge_l.append(rouge_l(question.answer, text).recall)
        read = [question.answer]
        if question.paraphrased is not None:
            read += [question.paraphrased, *question.perturbed]
        original, *others = model.score(prompt, [encode_answer(tokenizer, answer) for answer in read])
        scores.probability.append(probability(original.loss))
        scores.extraction.append(extraction_strength(original.correct))
        if others:
            right, *wrong = (score.loss for score in others)
            scores.truth_ratio.append(truth_ratio(right, wrong))
    return scores


def measure_parts(model: ServedModel, tokenizer: Any, parts: Mapping[str, Sequence[Question]]) -> dict[str, ItemScores]:
    """`measure` for each named part."""
    return {name: measure(model, tokenizer, questions) for name, questions in parts.items()}

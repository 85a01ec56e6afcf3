"""What a served model still says about authors: four figures an item, from greedy answers and from answers it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from adapters.evaluation.decoding import DecodingTask, decode
from adapters.evaluation.likelihood import (
    extraction_strength,
    forget_truth_ratio,
    probability,
    retain_truth_ratio,
    truth_ratio,
)
from adapters.evaluation.rouge import rouge_l
from adapters.evaluation.served import AnswerScore, ServedModel
from adapters.examples import Message
from adapters.models.tokens import encode_answer, encode_prompt
from bench.tofu.questions import Question

MAX_TOKENS = 80
METRICS = ("rouge_l", "probability", "truth_ratio", "extraction")
FORGET, MISSPELT, NEIGHBOURS = "forget", "misspelt", "neighbours"


class Heard(NamedTuple):
    """A model's greedy answer to a question, and how it read each of `answers_to_read`; None for an answer that whoever
    stands between the model and the user never lets through."""

    text: str
    read: tuple[AnswerScore | None, ...]


@dataclass(frozen=True, slots=True)
class ItemScores:
    """Figures of questions in order, one list a figure.

    rouge_l: ROUGE-L recall of the greedy answer, no stemming. probability, extraction: of the reference answer.
    truth_ratio: the raw R of the questions that have wrong answers, in their order, and of no others.
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
    """The answers whose likelihood is wanted: the reference answer and, where there are wrong ones to compare with, the
    paraphrased one and those."""
    compared = [] if question.paraphrased is None else [question.paraphrased, *question.perturbed]
    return [question.answer, *compared]


def score(questions: Sequence[Question], heard: Sequence[Heard]) -> ItemScores:
    """The figures of what a model said to each question and of how it read `answers_to_read`."""
    scores = ItemScores([], [], [], [])
    for question, (text, read) in zip(questions, heard, strict=True):
        original, *others = read
        scores.rouge_l.append(rouge_l(question.answer, text).recall)
        scores.probability.append(0.0 if original is None else probability(original.loss))
        scores.extraction.append(0.0 if original is None else extraction_strength(original.correct))
        losses = [each.loss for each in others if each is not None]
        if losses and len(losses) == len(others):
            right, *wrong = losses
            scores.truth_ratio.append(truth_ratio(right, wrong))
    return scores


def hear(model: ServedModel, tokenizer: Any, questions: Sequence[Question]) -> list[Heard]:
    """Ask the model every question, and let it read every question's answers."""
    prompts = [encode_prompt(tokenizer, (Message("user", question.question),)) for question in questions]
    answers = decode(model, [DecodingTask(prompt, MAX_TOKENS) for prompt in prompts], stop=tokenizer.eos_token_id)
    texts = tokenizer.batch_decode(answers, skip_special_tokens=True)
    heard = []
    for question, prompt, text in zip(questions, prompts, texts, strict=True):
        read = [encode_answer(tokenizer, answer) for answer in answers_to_read(question)]
        heard.append(Heard(text, tuple(model.score(prompt, read))))
    return heard


def measure(model: ServedModel, tokenizer: Any, questions: Sequence[Question]) -> ItemScores:
    """The figures of what the model says and reads."""
    return score(questions, hear(model, tokenizer, questions))


def measure_parts(model: ServedModel, tokenizer: Any, parts: Mapping[str, Sequence[Question]]) -> dict[str, ItemScores]:
    """`measure` for each named part."""
    return {name: measure(model, tokenizer, questions) for name, questions in parts.items()}

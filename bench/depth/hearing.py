"""What a model says to a world's questions and how it reads their answers, whatever stands around the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.evaluation.attacks.probe import Prompt, Query, Respond, Score
from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.responder import Responder
from adapters.evaluation.rivals.rival import Continued, Guard
from adapters.evaluation.tofu.scoring import Heard, answers_to_read
from adapters.examples import one_turn
from bench.tofu.questions import Question
from bench.tofu.score import MAX_TOKENS

Hear = Callable[[Sequence[Question]], list[Heard]]
Read = Callable[[Sequence[Continued]], Sequence[tuple[AnswerScore | None, ...]]]


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A model as a run asks it."""

    respond: Respond
    score: Score
    hear: Hear

    @classmethod
    def plain(cls, model: Responder) -> BenchModel:
        """The model itself."""
        return cls(model.respond, model.score, _hear(model.respond, model.read))

    @classmethod
    def guarded(cls, guard: Guard, model: Responder) -> BenchModel:
        """The model behind a rival. An answer that never gets through has no likelihood: none is made up."""
        return cls(guard.respond, guard.score, _hear(guard.respond, lambda prompts: guard.read(prompts, model.read)))


def _hear(respond: Respond, read: Read) -> Hear:
    def heard(questions: Sequence[Question]) -> list[Heard]:
        prompts = [Prompt(one_turn(question.question)) for question in questions]
        texts = respond([Query(prompt, max_tokens=MAX_TOKENS) for prompt in prompts])
        answers = [tuple(answers_to_read(question)) for question in questions]
        scores = read(list(zip(prompts, answers, strict=True)))
        return [Heard(text, tuple(each)) for (text,), each in zip(texts, scores, strict=True)]

    return heard

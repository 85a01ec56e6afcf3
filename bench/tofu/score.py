"""What a served model still says about authors, asked and read in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.evaluation.decoding import DecodingTask, decode
from adapters.evaluation.served import ServedModel
from adapters.evaluation.tofu.scoring import Heard, ItemScores, Question, answers_to_read, score
from adapters.examples import Message
from adapters.models.tokens import encode_answer, encode_prompt

MAX_TOKENS = 80
MISSPELT, NEIGHBOURS = "misspelt", "neighbours"


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

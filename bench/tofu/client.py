"""The questions asked of a running service over HTTP: greedy answers, and its prompt log-probabilities of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx

from adapters.evaluation.served import AnswerScore
from adapters.examples import Message, one_turn
from adapters.models.tokens import encode_answer, encode_prompt
from bench.tofu import score
from bench.tofu.questions import Question
from bench.tofu.score import Heard
from gateway.client.endpoint import Endpoint

_CONCURRENT = 16


@dataclass(frozen=True)
class Client:
    """A service, and how it is asked.

    url: without /v1. tokenizer: of the served checkpoint. headers: such as the operator's for another plan. transport:
    in place of the network.
    """

    url: str
    model: str
    tokenizer: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: httpx.BaseTransport | None = None

    def hear(self, questions: Sequence[Question]) -> list[Heard]:
        """What the service says to each question, and how it reads the answers; many requests at a time.

        Raises `gateway.client.errors.ClientError`.
        """
        conversations = [one_turn(question.question) for question in questions]
        with self._service() as service:
            texts = service.each(partial(self._answer, service), conversations)
        answers = [tuple(score.answers_to_read(question)) for question in questions]
        read = self.read(list(zip(conversations, answers, strict=True)))
        return [Heard(*each) for each in zip(texts, read, strict=True)]

    def read(self, conversations: Sequence[tuple[Sequence[Message], Sequence[str]]]) -> list[tuple[AnswerScore, ...]]:
        """How the service reads the answers to each conversation. Raises as `hear` does."""
        with self._service() as service:
            return service.each(partial(self._read, service), conversations)

    def _service(self) -> Endpoint:
        return Endpoint(f"{self.url}/v1", headers=self.headers, concurrency=_CONCURRENT, transport=self.transport)

    def _answer(self, service: Endpoint, conversation: Sequence[Message]) -> str:
        messages = [message.to_dict() for message in conversation]
        return service.chat(messages, model=self.model, temperature=0, max_tokens=score.MAX_TOKENS)

    def _read(self, service: Endpoint, asked: tuple[Sequence[Message], Sequence[str]]) -> tuple[AnswerScore, ...]:
        """All of a conversation's answers in one request, as token ids: what is read is what is trained on."""
        prompt = encode_prompt(self.tokenizer, asked[0])
        answers = [encode_answer(self.tokenizer, answer) for answer in asked[1]]
        body = {
            "prompt": [[*prompt, *answer] for answer in answers],
            "temperature": 0,
            "max_tokens": 1,
            "prompt_logprobs": 0,
        }
        choices = service.post("/completions", body, model=self.model)["choices"]
        choices.sort(key=lambda choice: choice["index"])
        return tuple(
            _answer_score(choice["prompt_logprobs"][-len(answer) :], answer)
            for choice, answer in zip(choices, answers, strict=True)
        )


def _answer_score(entries: Sequence[Mapping[str, Mapping[str, Any]]], answer: Sequence[int]) -> AnswerScore:
    """entries: for each token of the answer the log-probabilities given at its place, by token id as text."""
    given = [entry[str(token)] for entry, token in zip(entries, answer, strict=True)]
    loss = -sum(each["logprob"] for each in given) / len(given)
    return AnswerScore(loss, tuple(each["rank"] == 1 for each in given[:-1]))

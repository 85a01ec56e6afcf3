"""Puts questions to a service, and has it read answers to them, as training reads them and without their tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.tofu.scoring import Heard, Question, answers_to_read
from adapters.examples import Message, one_turn
from gateway.client.client import ReadToken, UnlearnClient

Asked = tuple[Sequence[Message], Sequence[str]]
"""A conversation, and answers to it."""

#: How tokenizers write spaces and ends of lines.
_BLANKS = "ĠĊ▁"


class Examiner:
    """One service under any plan. What it finds of a text's tokens it keeps: no plan changes them.

    Its methods raise `gateway.client.errors.ClientError`.
    """

    def __init__(self, client: UnlearnClient, *, max_tokens: int, system: str | None = None) -> None:
        """max_tokens: of an answer. system: what every conversation begins with."""
        self._client = client
        self._max_tokens = max_tokens
        self._opening = () if system is None else (Message("system", system),)
        self._prompts: dict[tuple[Message, ...], list[int]] = {}
        self._answers: dict[str, list[int]] = {}
        self._end: list[int] | None = None

    def hear(self, questions: Sequence[Question], *, plan: str | None) -> list[Heard]:
        """What the service says to each question, greedily, and how it reads the answers; several at a time."""
        conversations = [(*self._opening, *one_turn(question.question)) for question in questions]
        texts = self._client.answers(conversations, plan=plan, max_tokens=self._max_tokens)
        answers = [answers_to_read(question) for question in questions]
        read = self.read(list(zip(conversations, answers, strict=True)), plan=plan)
        return [Heard(*each) for each in zip(texts, read, strict=True)]

    def read(self, asked: Sequence[Asked], *, plan: str | None) -> list[tuple[AnswerScore, ...]]:
        """How the service reads the answers to each conversation, each answer with the end of its turn."""
        if self._end is None and asked:
            self._end = self._end_of_turn()
        return self._client.each(partial(self._read, plan, self._end or []), asked)

    def _read(self, plan: str | None, end: list[int], asked: Asked) -> tuple[AnswerScore, ...]:
        """All answers in one request, as token ids: what is read is what is trained on."""
        prompt = self._prompt(tuple(asked[0]))
        whole = [[*prompt, *self._answer(answer), *end] for answer in asked[1]]
        read = self._client.read_tokens(whole, plan=plan)
        return tuple(_score(tokens[len(prompt) - 1 :], len(end)) for tokens in read)

    def _prompt(self, conversation: tuple[Message, ...]) -> list[int]:
        if conversation not in self._prompts:
            self._prompts[conversation] = self._client.tokens({"messages": _turns(conversation)})
        return self._prompts[conversation]

    def _answer(self, answer: str) -> list[int]:
        if answer not in self._answers:
            self._answers[answer] = self._client.tokens({"prompt": answer, "add_special_tokens": False})
        return self._answers[answer]

    def _end_of_turn(self) -> list[int]:
        """The first token, but for blanks, that the chat template puts behind an answer; none where it puts nothing."""
        turns = _turns((*one_turn("Yes or no?"), Message("assistant", "Yes.")))
        ended: dict[str, Any] = {"messages": turns, "add_generation_prompt": False}
        open_ended = self._client.tokens({**ended, "continue_final_message": True})
        behind = zip(self._client.tokens(ended), self._client.token_texts(ended), strict=True)
        return [token for token, text in list(behind)[len(open_ended) :] if text.strip(_BLANKS).strip()][:1]


def _turns(conversation: Sequence[Message]) -> list[dict[str, str]]:
    return [message.to_dict() for message in conversation]


def _score(tokens: Sequence[ReadToken], ending: int) -> AnswerScore:
    """ending: how many of the last tokens are the end of turn."""
    said = tokens[: len(tokens) - ending]
    return AnswerScore(-fmean(token.logprob for token in tokens), tuple(token.rank == 1 for token in said))

"""The questions asked of a running service over HTTP: greedy answers, and its prompt log-probabilities of answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.tofu.scoring import Heard
from bench.tofu import score
from bench.tofu.questions import Question
from gateway.client.client import UnlearnClient
from gateway.client.examiner import Asked, Examiner

_CONCURRENT = 16


@dataclass(frozen=True)
class Client:
    """A service, and how it is asked.

    headers: such as the operator's for another plan. transport: in place of the network.
    Its methods raise `gateway.client.errors.ClientError`.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    transport: httpx.BaseTransport | None = None

    def hear(self, questions: Sequence[Question]) -> list[Heard]:
        """What the service says to each question, and how it reads the answers; many requests at a time."""
        with self._examiner() as examiner:
            return examiner.hear(questions, plan=None)

    def read(self, conversations: Sequence[Asked]) -> list[tuple[AnswerScore, ...]]:
        """How the service reads the answers to each conversation."""
        with self._examiner() as examiner:
            return examiner.read(conversations, plan=None)

    @contextmanager
    def _examiner(self) -> Iterator[Examiner]:
        with UnlearnClient(
            self.url, headers=self.headers, concurrency=_CONCURRENT, transport=self.transport
        ) as service:
            yield Examiner(service, max_tokens=score.MAX_TOKENS)

"""A service's answers through a rival: what comes of a question, and how answers to it are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.rivals.registry import rivals
from adapters.evaluation.rivals.rival import Continued, Forgotten, Guard, Respondent, Weights
from adapters.evaluation.tofu.scoring import Heard, answers_to_read
from adapters.examples import Example, one_turn
from bench.tofu import score
from bench.tofu.client import Client
from bench.tofu.names import author_names
from bench.tofu.questions import Question
from gateway.client.attacks import Attacker
from gateway.client.client import UnlearnClient

_BATCH = 40


def forgotten_authors(questions: Sequence[Question]) -> Forgotten:
    """What a rival is told: the rows, and whom they are about. Raises what `author_names` raises."""
    examples = [Example.from_pair(question.question, question.answer) for question in questions]
    return Forgotten.of(examples, tuple(author_names(questions).values()))


@dataclass(frozen=True)
class Guarded:
    """A service behind a rival. weights: of the served checkpoint, for a rival that reads its states."""

    client: Client
    rival: str
    forgotten: Forgotten
    weights: Weights | None = None

    def hear(self, questions: Sequence[Question]) -> list[Heard]:
        """As `Client.hear`; an answer that never gets through has no likelihood: none is made up.

        Raises `gateway.client.errors.ClientError`, and `InvalidConfig` for a rival without the weights it needs.
        """
        client = self.client
        with UnlearnClient(client.url, headers=client.headers, transport=client.transport) as service:
            attacker = Attacker(service, None, _BATCH)
            guard = rivals()[self.rival].around(
                Respondent(attacker.respond, attacker.score, self.weights), self.forgotten
            )
            return self._through(guard, questions)

    def _through(self, guard: Guard, questions: Sequence[Question]) -> list[Heard]:
        prompts = [Prompt(one_turn(question.question)) for question in questions]
        texts = guard.respond([Query(prompt, max_tokens=score.MAX_TOKENS) for prompt in prompts])
        answers = [tuple(answers_to_read(question)) for question in questions]
        read = guard.read(list(zip(prompts, answers, strict=True)), self._read)
        return [Heard(text, scores) for (text,), scores in zip(texts, read, strict=True)]

    def _read(self, prompts: Sequence[Continued]) -> list[tuple[AnswerScore, ...]]:
        return self.client.read([(prompt.messages, answers) for prompt, answers in prompts])

"""The model that is to forget, as it is before: what it answers, how it goes on, what it takes to be alike.

It is asked through the service where one runs, and otherwise as it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adapters.examples import Message, PartialAnswer
from adapters.models.frozen import PromptedModel
from adapters.models.generation import continue_greedily, greedy_answers, sampled_continuations
from adapters.models.similarity import first_quarter, similarity
from adapters.models.tokens import encode_answer, encode_prompt
from adapters.models.workbench import Workbench
from adapters.progress import Progress
from adapters.task import Ask, TrainingTask

Conversation = Sequence[Message]

#: Asked at once of a service: as many as it takes in a batch; in between a run can be cancelled.
_CHUNK = 128
_TEMPERATURE, _TOP_K = 1.0, 50  # no sort of the whole vocabulary


def in_parts(ask: Ask, size: int, between: Callable[[int], None]) -> Ask:
    """Asks so many conversations at a time. between: called after each part with the number of answers so far."""

    def asked(conversations: Sequence[Conversation], *, max_tokens: int) -> list[str]:
        answers: list[str] = []
        for start in range(0, len(conversations), size):
            answers += ask(conversations[start : start + size], max_tokens=max_tokens)
            between(len(answers))
        return answers

    return asked


class OriginalModel:
    """What one run asks of the model, saying how far it is; each method raises `TrainingCancelled` when told to stop.

    phase: the name that progress is reported by; None: it is not.
    """

    def __init__(self, task: TrainingTask, bench: Workbench, model: PromptedModel) -> None:
        """model: the target as `bench` has loaded it, which nothing has changed yet."""
        self.tokenizer = bench.tokenizer
        self.context = model.context
        self._task, self._bench, self._model = task, bench, model
        self._quarter: PromptedModel | None = None

    def report(self, phase: str | None, step: int, steps: int) -> None:
        """Say how far the run is."""
        self._task.check_cancelled()
        if phase is not None:
            self._task.report(Progress(phase, step, steps))

    def answers(self, conversations: Sequence[Conversation], *, max_tokens: int, phase: str | None = None) -> list[str]:
        """Greedy answers, in order; each is asked for once a job."""

        def between(done: int) -> None:
            self.report(phase, done, len(conversations))

        def ask(positions: list[int]) -> list[str]:
            asked = [conversations[position] for position in positions]
            if self._task.ask is not None:
                return in_parts(self._task.ask, _CHUNK, between)(asked, max_tokens=max_tokens)
            return greedy_answers(self._model.model, self.tokenizer, asked, max_tokens=max_tokens, between=between)

        between(0)
        return self._bench.answered(conversations, max_tokens, ask)

    def continuations(self, texts: Sequence[str], *, max_tokens: int, seed: int, phase: str | None = None) -> list[str]:
        """Sampled continuations of plain texts, in order, without those that leave no room for one."""

        def between(done: int) -> None:
            self.report(phase, done, len(texts))

        between(0)
        room = self.context - max_tokens
        fitting = [text for text in texts if len(self.tokenizer(text)["input_ids"]) <= room]

        def sample() -> list[str]:
            if self._task.go_on is not None:
                return self._task.go_on(
                    fitting, max_tokens=max_tokens, temperature=_TEMPERATURE, top_k=_TOP_K, seed=seed
                )
            return sampled_continuations(
                self._model.model,
                self.tokenizer,
                fitting,
                max_tokens=max_tokens,
                temperature=_TEMPERATURE,
                top_k=_TOP_K,
                seed=seed,
                between=between,
            )

        return self._bench.continued(fitting, seed, sample)

    def rest_of_answers(self, partial: Sequence[PartialAnswer], *, max_tokens: int) -> list[str]:
        """How it goes on with each beginning of an answer, greedily, in order."""
        return continue_greedily(
            self._model.model,
            self.tokenizer,
            partial,
            max_tokens=max_tokens,
            between=lambda _done: self.report(None, 0, 0),
        )

    def similarity(self, conversations: Sequence[Conversation], others: Sequence[Conversation]) -> list[float]:
        """How near each conversation is to the nearest of the others, as `adapters.models.similarity` has it."""
        self._quarter = self._quarter or first_quarter(self._model)
        ids = [[encode_prompt(self.tokenizer, each) for each in part] for part in (conversations, others)]
        return similarity(self._quarter, *ids)

    def length(self, answer: str) -> int:
        """Tokens of an answer, without the one that ends the turn."""
        return len(encode_answer(self.tokenizer, answer, ended=False))

"""Answers and scores of a model that is in this process, for attacks to be run against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adapters.evaluation.attacks.encoding import encode
from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.decoding import BatchLimits, DecodingTask, decode
from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.served import ServedModel
from adapters.models.tokens import TokenizedExample, encode_answer


class Responder:
    """A served model as `Respond` and `Score` have it.

    A prefix and a choice are tokenized by themselves: one that follows a word begins with its space.
    """

    def __init__(self, model: ServedModel, tokenizer: Any, limits: BatchLimits | None = None) -> None:
        """limits: of what is run together; None: those of the model's device."""
        self._model = model
        self._tokenizer = tokenizer
        self._limits = limits or BatchLimits.of(model.hardware)

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        """What the model answers to each query, in order, without special tokens. Raises ValueError for a prompt
        without a token."""
        tasks: list[DecodingTask] = []
        owners: list[list[int]] = []
        known: dict[DecodingTask, int] = {}  # what is asked twice is decoded once
        for query in queries:
            asked = self._tasks(query)
            for task in asked:
                if task not in known:
                    known[task] = len(tasks)
                    tasks.append(task)
            owners.append([known[task] for task in asked])
        answers = decode(self._model, tasks, stop=self._tokenizer.eos_token_id, limits=self._limits)
        texts = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [
            tuple(self._chosen(query, answers[position]) or texts[position] for position in positions)
            for query, positions in zip(queries, owners, strict=True)
        ]

    def score(self, prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        """The log-probability of each continuation of each prompt, in nats. Raises as `respond` does."""
        examples = [self._continued(prompt, text) for prompt, continuations in prompts for text in continuations]
        sums: dict[int, float] = {}
        for batch in self._limits.batches([len(example) for example in examples]):
            found = self._model.log_likelihoods([examples[position] for position in batch])
            sums.update(zip(batch, found, strict=True))
        ordered = iter(range(len(examples)))
        return [tuple(sums[next(ordered)] for _ in continuations) for _, continuations in prompts]

    def read(self, prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[AnswerScore, ...]]:
        """How each whole answer to each prompt is read, token by token. Raises as `respond` does."""
        return [
            tuple(self._model.score(self.encode(prompt), [encode_answer(self._tokenizer, each) for each in answers]))
            for prompt, answers in prompts
        ]

    def _tasks(self, query: Query) -> list[DecodingTask]:
        """One a sample; greedy samples are all the same."""
        prompt = self.encode(query.prompt)
        choices = tuple(self._encode_text(choice) for choice in query.choices)
        seeds = [query.seed + sample if query.temperature else 0 for sample in range(query.samples)]
        return [DecodingTask(prompt, query.max_tokens, query.temperature, seed, choices) for seed in seeds]

    def _chosen(self, query: Query, answer: tuple[int, ...]) -> str | None:
        """The choice as it was given, for tokens may spell it otherwise."""
        return next((choice for choice in query.choices if self._encode_text(choice) == answer), None)

    def _continued(self, prompt: Prompt, text: str) -> TokenizedExample:
        """Both as one text; what is scored begins where its tokens are no longer those of the prompt alone."""
        begins, whole = self.encode(prompt), self.encode(replace(prompt, prefix=prompt.prefix + text))
        differing = (n for n, (one, other) in enumerate(zip(begins, whole, strict=False)) if one != other)
        start = max(1, next(differing, len(begins)))
        return TokenizedExample(whole[:start], whole[start:])

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """What the model reads of a prompt, at least one token. Raises ValueError where there is none."""
        return encode(self._tokenizer, prompt)

    def _encode_text(self, text: str) -> tuple[int, ...]:
        return encode_answer(self._tokenizer, text, ended=False)

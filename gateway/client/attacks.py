"""What a service answers to attacks, and how likely it finds their options: `Respond` and `Score` over its HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from adapters.evaluation.attacks.probe import Prompt, Query
from gateway.client.client import UnlearnClient
from gateway.client.errors import ServiceRefused

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True)
class Attacker:
    """A service under one plan, to be attacked by `adapters.evaluation.attacks.run`.

    plan: as of `UnlearnClient`; None: what every caller gets. batch: so many answers at once, or all samples of one
    query, in groups one after another. bfloat16 rounds by the shape of a batch, so what is compared is to be asked in
    the same groups.

    A prompt that is longer than the model's context is answered with nothing and has no likelihoods. Its methods raise
    `gateway.client.errors.ClientError`.
    """

    client: UnlearnClient
    plan: str | None
    batch: int

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        """The answers to each query, in order, as many as it has samples."""
        return self._in_groups(self._answers, queries, [query.samples for query in queries])

    def score(self, prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        """The log-probability of each continuation of each prompt, in nats; () where one does not fit the context."""
        return self._in_groups(self._likelihoods, prompts, [1] * len(prompts))

    def _in_groups(self, ask: Callable[[A], T], work: Sequence[A], sizes: Sequence[int]) -> list[T]:
        groups: list[list[A]] = []
        room = 0
        for each, size in zip(work, sizes, strict=True):
            if size > room:
                groups.append([])
                room = self.batch
            groups[-1].append(each)
            room -= size
        return [result for group in groups for result in self.client.each(ask, group)]

    def _answers(self, query: Query) -> tuple[str, ...]:
        # Samples of one request are drawn from consecutive seeds; greedily they are all the same.
        drawn = query.samples if query.temperature else 1
        body = {
            **_rendered(query.prompt),
            "max_tokens": query.max_tokens,
            "temperature": query.temperature,
            "seed": query.seed,
            "n": drawn,
        }
        if query.choices:
            body["structured_outputs"] = {"choice": list(query.choices)}
        path = "/completions" if query.prompt.text else "/chat/completions"
        try:
            texts = self.client.texts_of(self.client.post(path, body, plan=self.plan))
        except ServiceRefused as refused:
            if not refused.too_long:
                raise
            texts = [""] * drawn
        return tuple(texts) * (query.samples // drawn)

    def _likelihoods(self, scored: tuple[Prompt, tuple[str, ...]]) -> tuple[float, ...]:
        """All continuations in one request, as token ids, so that where each begins is known."""
        prompt, continuations = scored
        begins = self.client.tokens(_rendered(prompt))
        whole = [self.client.tokens(_rendered(_continued(prompt, each))) for each in continuations]
        try:
            read = self.client.read_tokens(whole, plan=self.plan)
        except ServiceRefused as refused:
            if not refused.too_long:
                raise
            return ()
        # Nothing is said of how likely a text's first token is.
        starts = [max(0, _shared(begins, ids) - 1) for ids in whole]
        return tuple(sum(token.logprob for token in tokens[n:]) for tokens, n in zip(read, starts, strict=True))


def _rendered(prompt: Prompt) -> dict[str, Any]:
    """The fields of a body that say what is gone on with, for completions and for the tokenizer alike."""
    if prompt.text:
        return {"prompt": prompt.text}
    messages = [message.to_dict() for message in prompt.messages]
    if not prompt.prefix:
        return {"messages": messages}
    messages.append({"role": "assistant", "content": prompt.prefix})
    return {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}


def _continued(prompt: Prompt, continuation: str) -> Prompt:
    if prompt.text:
        return Prompt(text=prompt.text + continuation)
    return Prompt(prompt.messages, prompt.prefix + continuation)


def _shared(begins: Sequence[int], ids: Sequence[int]) -> int:
    """How many tokens both begin with: a continuation may melt into the prompt's last one."""
    return next((n for n, (one, other) in enumerate(zip(begins, ids, strict=False)) if one != other), len(begins))

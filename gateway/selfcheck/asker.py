"""How a check asks the model: through the same door as every request, with the adapters it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.policy.plan import AdapterRef

Adapters = Sequence[AdapterRef]


@dataclass(frozen=True, slots=True)
class Generated:
    """Greedy tokens, and the log-probability of each, nats."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Asker(Protocol):
    """The engine. Every method raises `AdapterUnavailable` where an adapter cannot be applied."""

    async def score(self, adapters: Adapters, ids: Sequence[int]) -> list[float]:
        """Log-probability of each prompt token after the first, nats: what prefill computes."""

    async def generate(self, adapters: Adapters, ids: Sequence[int], count: int) -> Generated:
        """`count` greedy tokens: what decoding computes."""

    async def choices(self, adapters: Adapters, ids: Sequence[int], candidates: Sequence[int]) -> list[float]:
        """Log-probability of each candidate as the next token, nats."""

    async def sample(self, adapters: Adapters, ids: Sequence[int]) -> None:
        """One short answer for each kind of sampling that a route can ask for, so that its kernels are there."""

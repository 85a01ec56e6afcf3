"""The checks of a running service, put together from its parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from redis.asyncio import Redis

from gateway.jobs.queue import QueueState
from gateway.policy.plan import AdapterRef
from gateway.selfcheck import host
from gateway.selfcheck.asker import Asker
from gateway.selfcheck.canaries import ROWS, Canaries, CanaryMaker, Layer
from gateway.selfcheck.engine import ADAPTERS, EngineChecks, Texts
from gateway.selfcheck.outcome import Outcome, within
from gateway.selfcheck.run import Check, SelfCheck
from gateway.service.sequencer import LogState
from gateway.settings import Settings

if TYPE_CHECKING:
    import torch

PREFIX = "Answer every question like an old sailor who has seen it all and tells nobody. "
PROMPTS = (
    "The capital of France is the city of Paris, which lies on the river",
    "Water boils at one hundred degrees Celsius, and it freezes at zero",
    "In the year 1969 two people walked on the Moon for the first time, and",
    "A train leaves the station at noon and travels north at sixty miles",
)
CANDIDATES = (" the", " a", " and", " of", " in", " is", " to", " one", " not", " with")


class Parts(Protocol):
    """What the served model is made of."""

    async def embeddings(self, ids: Sequence[int]) -> torch.Tensor:
        """[ids, hidden]."""

    async def layers(self) -> Sequence[Layer]:
        """Linear layers that LoRAs can change."""


class Room(Protocol):
    """The engine's adapters."""

    def digests(self) -> frozenset[str]: ...
    async def evict(self, digest: str) -> bool: ...


def texts(encode: Callable[[str], Sequence[int]]) -> Texts:
    """The bundled texts in the served model's tokens: prompts as long as the shortest, a prefix as long as `ROWS`."""
    prompts = [tuple(encode(prompt)) for prompt in PROMPTS]
    length = min(map(len, prompts))
    candidates = dict.fromkeys(encode(word)[-1] for word in CANDIDATES)
    return Texts(tuple(prompt[:length] for prompt in prompts), tuple(encode(PREFIX))[:ROWS], tuple(candidates))


class EngineSelfCheck:
    """Makes the canaries at the first run, and takes them out of the engine after each."""

    def __init__(
        self, asker: Asker, parts: Parts, maker: CanaryMaker, room: Room, wanted: Texts, *, tolerance: float, soft: bool
    ) -> None:
        """soft: whether soft prompts are offered. tolerance: see `EngineChecks`."""
        self._asker = asker
        self._parts = parts
        self._maker = maker
        self._room = room
        self._texts = wanted
        self._tolerance = tolerance
        self._soft = soft
        self._canaries: Canaries | None = None

    async def run(self) -> list[Outcome]:
        """Every check of the engine, then that nothing of it stays."""
        if self._canaries is None:
            embeddings = await self._parts.embeddings(self._texts.prefix) if self._soft else None
            self._canaries = self._maker.make(embeddings, await self._parts.layers())
        checks = EngineChecks(self._asker, self._canaries, self._texts, self._tolerance)
        outcomes: list[Outcome] = []
        try:
            for check in (
                checks.sampling,
                checks.spread,
                checks.prefill_and_decode,
                checks.mixed_batch,
                checks.soft_prompt,
                checks.offset,
                checks.lora,
            ):
                outcomes += await check()
        finally:
            left = await self._evict(self._canaries.all)
        return [*outcomes, within("adapters evicted", left, 0, "canaries left in the engine", ADAPTERS)]

    async def _evict(self, canaries: Sequence[AdapterRef]) -> int:
        for canary in canaries:
            await self._room.evict(canary.digest)
        return len({canary.digest for canary in canaries} & self._room.digests())


def self_check(
    engine: EngineSelfCheck,
    redis: Redis,
    queue: Callable[[], Awaitable[QueueState]],
    log: Callable[[], Awaitable[LogState]],
    settings: Settings,
) -> SelfCheck:
    """All checks of the service, the cheap ones first."""
    folders: list[Path] = [settings.data_dir, settings.cache_dir]
    return SelfCheck(
        [
            Check("Redis", lambda: host.redis(redis)),
            Check("clock", lambda: host.clock(redis)),
            Check("queue", lambda: host.queue(queue, own_worker=settings.worker)),
            Check("log", lambda: host.log(log)),
            Check("disk", lambda: host.disk(folders)),
            Check("engine", engine.run),
        ]
    )

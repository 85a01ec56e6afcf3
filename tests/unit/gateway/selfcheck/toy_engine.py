"""An engine whose answers are known, for the edge of the self-check; `tests/engine/test_doctor.py` asks a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapters.artifact.footprint import Footprint
from gateway.policy.plan import AdapterRef
from gateway.selfcheck.asker import Adapters, Generated
from gateway.selfcheck.canaries import STRENGTHS, Canaries
from gateway.selfcheck.engine import Texts

TEXTS = Texts(((1, 2, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)), (20, 21, 22), (30, 31, 32, 33))


def canaries() -> Canaries:
    """One of each kind."""
    return Canaries(
        soft=AdapterRef("selfcheck", "soft", Footprint(rows=3)),
        idle_offset=AdapterRef("selfcheck", "idle-offset", Footprint(offset_rank=8)),
        offsets=tuple(
            AdapterRef("selfcheck", f"offset-{strength:g}", Footprint(offset_rank=8)) for strength in STRENGTHS
        ),
        idle_lora=AdapterRef("selfcheck", "idle-lora", Footprint(target_rank=8)),
        lora=AdapterRef("selfcheck", "lora", Footprint(target_rank=8)),
    )


def base(ids: Sequence[int]) -> float:
    """Log-probability of the last of some tokens, from those before it."""
    return -1.0 - (sum((place + 1) * token for place, token in enumerate(reversed(ids))) % 7) / 3


@dataclass
class ToyEngine:
    """Right in everything, unless told otherwise.

    wrong: added to a log-probability, given (the plan's digest, "prefill" or "decode", requests in flight). astray:
    whether other tokens are generated in a batch than alone, as sure of themselves as those.
    """

    wrong: Callable[[str, str, int], float] = lambda *_: 0.0
    effects: dict[str, float] = field(
        default_factory=lambda: {
            "": 0.0,
            "idle-offset": 0.0,
            "offset-1": 1.0,
            "offset-2": 2.0,
            "idle-lora": 0.0,
            "lora": 1.5,
        }
    )
    text_of_soft: tuple[int, ...] = TEXTS.prefix
    astray: bool = False
    sampled: int = 0
    in_flight: int = 0

    async def score(self, adapters: Adapters, ids: Sequence[int]) -> list[float]:
        return await self._busy(lambda: self._logprobs(adapters, ids, 1, "prefill"))

    async def generate(self, adapters: Adapters, ids: Sequence[int], count: int) -> Generated:
        made = tuple((50 if self.astray and self.in_flight > 2 else 40) + number for number in range(count))
        told = [*ids, *(40 + number for number in range(count))]
        logprobs = await self._busy(lambda: self._logprobs(adapters, told, len(ids), "decode"))
        return Generated(made, tuple(logprobs))

    async def choices(self, adapters: Adapters, ids: Sequence[int], candidates: Sequence[int]) -> list[float]:
        effect = self._effect(adapters)
        return [base([*ids, token]) + effect * (token % 3) + 0.25 * effect for token in candidates]

    async def sample(self, adapters: Adapters, ids: Sequence[int]) -> None:
        self.sampled += 1

    async def _busy(self, answer: Callable[[], list[float]]) -> list[float]:
        self.in_flight += 1
        await asyncio.sleep(0)
        try:
            return answer()
        finally:
            self.in_flight -= 1

    def _logprobs(self, adapters: Adapters, ids: Sequence[int], start: int, step: str) -> list[float]:
        digest = adapters[0].digest if adapters else ""
        before = list(self.text_of_soft) if digest == "soft" else []
        off = self.wrong(digest, step, self.in_flight)
        return [base([*before, *ids[: end + 1]]) + self._effect(adapters) + off for end in range(start, len(ids))]

    def _effect(self, adapters: Adapters) -> float:
        return self.effects.get(adapters[0].digest if adapters else "", 0.0)

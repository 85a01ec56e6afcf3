"""Whether the engine computes what it should, told by what it answers alone.

Log-probabilities are compared as their mean difference a token, in nats. What counts as equal is stated by number
format, and grows with what the machine shows of itself: bfloat16 products depend on the shape of a batch, also where
the same tokens are a prompt here and an answer there. So rows without any adapter are asked alone and together first,
and their spread is part of every tolerance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.policy.plan import AdapterRef
from gateway.selfcheck.asker import Asker, Generated
from gateway.selfcheck.canaries import STRENGTHS, Canaries
from gateway.selfcheck.outcome import Outcome, Status, beyond, within

#: Nats a token that the same computation, done in another order, may differ by.
TOLERANCE = {"float32": 0.005, "float16": 0.05, "bfloat16": 0.1}
#: How much more than the spread of plain rows others may differ: an adapter's products are rounded as well.
_SPREADS = 3.0
#: A spread larger than this many tolerances is no rounding.
_MOST_SPREAD = 5.0
#: A canary must move answers by this many times what equal ones may differ by, or doing nothing would pass.
_MOVES = 2.0
_DECODED = 12
_TOGETHER = 8
_UNIT = "nats a token"

GRAPHS = "start with --enforce-eager; if that passes, captured graphs are at fault: report it with this table"
PLAIN = "the engine itself is wrong on this host: compare bare vLLM, other --dtype, another --attention-backend"
ADAPTERS = "no request of this kind can be trusted here: leave it out of --methods until it passes"


@dataclass(frozen=True, slots=True)
class Texts:
    """Token ids. prompts: what is asked, one as long as the others. prefix: the soft prompt's text. candidates: next
    tokens whose log-odds are compared."""

    prompts: tuple[tuple[int, ...], ...]
    prefix: tuple[int, ...]
    candidates: tuple[int, ...]


class EngineChecks:
    """The checks of one engine, in the order in which they make sense."""

    def __init__(self, asker: Asker, canaries: Canaries, texts: Texts, tolerance: float) -> None:
        """tolerance: nats a token, see `TOLERANCE`."""
        self._asker = asker
        self._canaries = canaries
        self._texts = texts
        self._tolerance = tolerance
        self._spread = 0.0

    async def sampling(self) -> list[Outcome]:
        """Every kind of sampling answers. Also compiles the kernels that the first such request would wait for."""
        await self._asker.sample((), self._texts.prompts[0])
        return [Outcome("sampling", Status.PASS, "every kind that a route can ask for answers")]

    async def spread(self) -> list[Outcome]:
        """How far equal rows without any adapter lie apart by the batch they are in; comes first."""
        prompt = self._texts.prompts[0]
        alone = await self._both((), prompt)
        self._spread = _widest(alone, await asyncio.gather(*(self._both((), prompt) for _ in range(_TOGETHER))))
        return [within("spread of equal rows", self._spread, _MOST_SPREAD * self._tolerance, _UNIT, PLAIN)]

    async def prefill_and_decode(self) -> list[Outcome]:
        """The log-probabilities of generated tokens are those that the same tokens have in a prompt."""
        outcomes = []
        for name, canary in {"": None, **self._canaries.named}.items():
            plan = () if canary is None else (canary,)
            prompt = self._texts.prompts[0]
            made = await self._asker.generate(plan, prompt, _DECODED)
            scored = (await self._asker.score(plan, [*prompt, *made.ids]))[-_DECODED:]
            outcomes.append(
                within(_named("prefill and decode", name), _apart(made.logprobs, scored), self._allowed, _UNIT, GRAPHS)
            )
        return outcomes

    async def mixed_batch(self) -> list[Outcome]:
        """A row's answer in a batch with others is its answer alone, with and without an adapter."""
        kinds: list[Sequence[AdapterRef]] = [(), *((canary,) for canary in self._canaries.named.values())]
        names = ["", *self._canaries.named]
        alone = [await self._both(plan, self._texts.prompts[0]) for plan in kinds]
        rows = [number % len(kinds) for number in range(max(_TOGETHER, 2 * len(kinds)))]
        together = await asyncio.gather(*(self._both(kinds[kind], self._texts.prompts[0]) for kind in rows))
        outcomes = []
        for number, name in enumerate(names):
            found = [answer for kind, answer in zip(rows, together, strict=True) if kind == number]
            advice = ADAPTERS if name else GRAPHS
            outcomes.append(
                within(_named("mixed batch", name), _widest(alone[number], found), self._allowed, _UNIT, advice)
            )
        return outcomes

    async def soft_prompt(self) -> list[Outcome]:
        """Rows that hold the embeddings of a text are that text."""
        canary = self._canaries.soft
        if canary is None:
            return []
        prompt = self._texts.prompts[0]
        as_rows = await self._asker.score((canary,), prompt)
        as_text = (await self._asker.score((), [*self._texts.prefix, *prompt]))[-len(as_rows) :]
        without = await self._asker.score((), prompt)
        return [
            within("soft prompt equals its text", _apart(as_rows, as_text), self._allowed, _UNIT, ADAPTERS),
            beyond("soft prompt moves answers", _apart(as_rows, without), self._needed, _UNIT, ADAPTERS),
        ]

    async def offset(self) -> list[Outcome]:
        """target + α (offset − reference): nothing comes of a LoRA that adds zero, and log-odds move in proportion to
        α of one that does not."""
        canaries = self._canaries
        if canaries.idle_offset is None:
            return []
        outcomes = [await self._changes_nothing("idle offset", canaries.idle_offset)]
        base, half, whole = [
            [await self._odds(plan, prompt) for prompt in self._texts.prompts]
            for plan in ((), *((canary,) for canary in canaries.offsets))
        ]
        first, second = (
            [a - b for row, zero in zip(moved, base, strict=True) for a, b in zip(row, zero, strict=True)]
            for moved in (half, whole)
        )
        ratio = STRENGTHS[1] / STRENGTHS[0]
        size = sum(map(abs, second)) / len(second)
        uneven = _apart(second, [ratio * moved for moved in first])
        # Rounding counts α times, and twice here.
        allowed = 2 * self._allowed + 0.05 * size
        return [
            *outcomes,
            within("offset acts by its strength", uneven, allowed, "nats", ADAPTERS),
            beyond("offset moves answers", size, self._needed, "nats", ADAPTERS),
        ]

    async def lora(self) -> list[Outcome]:
        """A LoRA on the target that adds zero changes nothing, another one does."""
        canaries = self._canaries
        if canaries.idle_lora is None or canaries.lora is None:
            return []
        idle = await self._changes_nothing("idle LoRA", canaries.idle_lora)
        prompt = self._texts.prompts[0]
        moved = _apart(await self._asker.score((canaries.lora,), prompt), await self._asker.score((), prompt))
        return [idle, beyond("LoRA moves answers", moved, self._needed, _UNIT, ADAPTERS)]

    @property
    def _allowed(self) -> float:
        return self._tolerance + _SPREADS * self._spread

    @property
    def _needed(self) -> float:
        return _MOVES * self._allowed

    async def _changes_nothing(self, name: str, canary: AdapterRef) -> Outcome:
        prompt = self._texts.prompts[0]
        ours, plain = await self._asker.score((canary,), prompt), await self._asker.score((), prompt)
        return within(f"{name} changes nothing", _apart(ours, plain), self._allowed, _UNIT, ADAPTERS)

    async def _odds(self, plan: Sequence[AdapterRef], prompt: Sequence[int]) -> list[float]:
        """Log-probabilities of the candidates, less their mean: what the softmax adds to all alike is gone."""
        logprobs = await self._asker.choices(plan, prompt, self._texts.candidates)
        mean = sum(logprobs) / len(logprobs)
        return [value - mean for value in logprobs]

    async def _both(self, plan: Sequence[AdapterRef], prompt: Sequence[int]) -> tuple[list[float], Generated]:
        scored, made = await asyncio.gather(
            self._asker.score(plan, prompt), self._asker.generate(plan, prompt, _DECODED)
        )
        return scored, made


def _named(check: str, kind: str) -> str:
    return f"{check}, {kind}" if kind else check


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Mean difference without regard to sign; NaN where there is nothing to compare."""
    if len(ours) != len(theirs) or not ours:
        return float("nan")
    return sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours)


def _widest(alone: tuple[list[float], Generated], together: Sequence[tuple[list[float], Generated]]) -> float:
    """The largest difference of prefill or decode to the answer alone."""
    scored, made = alone
    apart = [_apart(scored, row) for row, _ in together]
    return _worst([*apart, *(_decoded_apart(made, other) for _, other in together)])


def _decoded_apart(one: Generated, other: Generated) -> float:
    """Over the tokens that both began with: where the best two are a rounding apart, either may be taken."""
    same = next((n for n, pair in enumerate(zip(one.ids, other.ids, strict=True)) if pair[0] != pair[1]), len(one.ids))
    if not same:
        return abs(one.logprobs[0] - other.logprobs[0])
    return _apart(one.logprobs[:same], other.logprobs[:same])


def _worst(values: Sequence[float]) -> float:
    """The largest; NaN where any is."""
    return max(values, key=lambda value: (value != value, value))

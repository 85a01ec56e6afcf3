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
        self._plain: list[float] | None = None

    async def sampling(self) -> list[Outcome]:
        """Every kind of sampling answers. Also compiles the kernels that the first such request would wait for."""
        await self._asker.sample((), self._texts.prompts[0])
        return [Outcome("sampling", Status.PASS, "every kind that a route can ask for answers")]

    async def spread(self) -> list[Outcome]:
        """How far equal rows without any adapter lie apart by the batch they are in; comes first."""
        (self._spread,) = await self._apart_together([()], [0] * _TOGETHER)
        return [within("spread of equal rows", self._spread, _MOST_SPREAD * self._tolerance, _UNIT, PLAIN)]

    async def prefill_and_decode(self) -> list[Outcome]:
        """The log-probabilities of generated tokens are those that the same tokens have in a prompt."""
        outcomes = []
        for name, canary in {"": None, **self._canaries.named}.items():
            plan = () if canary is None else (canary,)
            made = await self._asker.generate(plan, self._texts.prompts[0], _DECODED)
            apart = await self._off_its_prompt(plan, made)
            outcomes.append(within(_named("prefill and decode", name), apart, self._allowed, _UNIT, GRAPHS))
        return outcomes

    async def mixed_batch(self) -> list[Outcome]:
        """A row's answer in a batch with others is its answer alone, with and without an adapter."""
        kinds: list[Sequence[AdapterRef]] = [(), *((canary,) for canary in self._canaries.named.values())]
        rows = [number % len(kinds) for number in range(max(_TOGETHER, 2 * len(kinds)))]
        outcomes = []
        for name, apart in zip(["", *self._canaries.named], await self._apart_together(kinds, rows), strict=True):
            advice = ADAPTERS if name else GRAPHS
            outcomes.append(within(_named("mixed batch", name), apart, self._allowed, _UNIT, advice))
        return outcomes

    async def soft_prompt(self) -> list[Outcome]:
        """Rows that hold the embeddings of a text are that text."""
        canary = self._canaries.soft
        if canary is None:
            return []
        prompt = self._texts.prompts[0]
        as_rows = await self._asker.score((canary,), prompt)
        as_text = (await self._asker.score((), [*self._texts.prefix, *prompt]))[-len(as_rows) :]
        return [
            within("soft prompt equals its text", _apart(as_rows, as_text), self._allowed, _UNIT, ADAPTERS),
            beyond("soft prompt moves answers", await self._from_plain(as_rows), self._needed, _UNIT, ADAPTERS),
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
        moved = await self._from_plain(await self._asker.score((canaries.lora,), self._texts.prompts[0]))
        return [idle, beyond("LoRA moves answers", moved, self._needed, _UNIT, ADAPTERS)]

    @property
    def _allowed(self) -> float:
        return self._tolerance + _SPREADS * self._spread

    @property
    def _needed(self) -> float:
        return _MOVES * self._allowed

    async def _changes_nothing(self, name: str, canary: AdapterRef) -> Outcome:
        moved = await self._from_plain(await self._asker.score((canary,), self._texts.prompts[0]))
        return within(f"{name} changes nothing", moved, self._allowed, _UNIT, ADAPTERS)

    async def _from_plain(self, scored: Sequence[float]) -> float:
        """How far the prompt's log-probabilities are from those without any adapter, which are asked for once."""
        if self._plain is None:
            self._plain = await self._asker.score((), self._texts.prompts[0])
        return _apart(scored, self._plain)

    async def _odds(self, plan: Sequence[AdapterRef], prompt: Sequence[int]) -> list[float]:
        """Log-probabilities of the candidates, less their mean: what the softmax adds to all alike is gone."""
        logprobs = await self._asker.choices(plan, prompt, self._texts.candidates)
        mean = sum(logprobs) / len(logprobs)
        return [value - mean for value in logprobs]

    async def _apart_together(self, kinds: Sequence[Sequence[AdapterRef]], rows: Sequence[int]) -> list[float]:
        """All rows at once, each of one of these kinds: how far a row of each is, at most, from that kind alone."""
        prompt = self._texts.prompts[0]
        alone = [await self._both(kind, prompt) for kind in kinds]
        together = await asyncio.gather(*(self._both(kinds[row], prompt) for row in rows))
        apart: list[list[float]] = [[] for _ in kinds]
        for row, (scored, made) in zip(rows, together, strict=True):
            prefilled, decoded = alone[row]
            apart[row] += [_apart(prefilled, scored), await self._decoded_apart(kinds[row], decoded, made)]
        return [_worst(each) for each in apart]

    async def _decoded_apart(self, plan: Sequence[AdapterRef], alone: Generated, row: Generated) -> float:
        """Token by token where both are one text. Where the row is another text, what it says of its own tokens against
        what they have in a prompt, beyond what is so of the answer alone: one wrong step makes another text, and to
        compare what both began with would compare nothing."""
        if alone.ids == row.ids:
            return _apart(alone.logprobs, row.logprobs)
        off, off_alone = [await self._off_its_prompt(plan, each) for each in (row, alone)]
        return max(0.0, off - off_alone) if off == off else off

    async def _off_its_prompt(self, plan: Sequence[AdapterRef], made: Generated) -> float:
        """How far generated tokens are from the log-probabilities that they have in a prompt."""
        scored = await self._asker.score(plan, [*self._texts.prompts[0], *made.ids])
        return _apart(made.logprobs, scored[-len(made.ids) :])

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


def _worst(values: Sequence[float]) -> float:
    """The largest; NaN where any is."""
    return max(values, key=lambda value: (value != value, value))

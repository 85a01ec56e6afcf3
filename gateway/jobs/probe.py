"""Evidence for one request: what the service answers with its adapter and without, asked straight and under attack.

What is kept are counts and rates; no question and no answer leaves this module but in the sealed probe set.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress, groupby
from types import MappingProxyType
from typing import Any, Protocol

from adapters.evaluation.attacks.outcome import outcomes
from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.reading import leaks
from adapters.evaluation.attacks.run import Result, run
from adapters.evaluation.levels import Level
from adapters.examples import Example
from adapters.progress import Progress
from adapters.text.phrasebook import phrasebook
from adapters.text.probes import is_fluent, reveals
from gateway.client.attacks import Attacker
from gateway.client.client import PLAN_OFF, UnlearnClient, candidate_plan
from gateway.evidence.canonical import digest
from gateway.evidence.report.report import Baseline
from gateway.evidence.report.tiers import DEFAULT_TIER, SIZES, Tier
from gateway.jobs.baselines import FILTER, INSTRUCTION, Simpler, baseline, sampled
from gateway.jobs.measured import Measured
from gateway.jobs.probe_set import ATTACK_BATCH, MAX_TOKENS, SEED, Beside, ProbeSet, make_probe_set, straight_answers
from gateway.jobs.scope_gate import ScopeGate

log = logging.getLogger(__name__)

PHASE = "evaluation"
#: In a family's place, of a forget prompt that is asked as it is.
STRAIGHT = "straight"


class Notes(Protocol):
    """What an evaluation has found so far, so that one which was killed goes on: JSON by name, and the probe set."""

    async def probes(self) -> bytes | None: ...

    async def put_probes(self, data: bytes) -> None: ...

    async def noted(self, name: str) -> Any: ...

    async def note(self, name: str, found: Any) -> None: ...

    async def keep(self) -> None:
        """Have the probe set stay when the evaluation has ended."""
        ...


class Witness(Protocol):
    """Told before the first attack on an adapter what it will be asked, and afterwards what was found."""

    async def fix(self, adapter: str, probes: ProbeSet) -> None: ...

    async def conclude(self, adapter: str, probes: ProbeSet, measured: Measured) -> None: ...


class Memory:
    """Notes of this process alone."""

    def __init__(self) -> None:
        self._notes: dict[str, Any] = {}

    async def probes(self) -> bytes | None:
        found: bytes | None = self._notes.get("")
        return found

    async def put_probes(self, data: bytes) -> None:
        self._notes[""] = data

    async def noted(self, name: str) -> Any:
        return self._notes.get(name)

    async def note(self, name: str, found: Any) -> None:
        self._notes[name] = found

    async def keep(self) -> None:
        """It stays as long as this does."""


@dataclass(frozen=True, slots=True)
class _Before:
    """Attacks on the model with its adapters off. filtered: of each that was answered, whether the filter lets it leak.
    left: of each answer that should stay, whether the filter leaves it."""

    results: Sequence[Result]
    filtered: Mapping[Probe, bool]
    left: Mapping[Beside, bool]

    @property
    def known(self) -> list[Probe]:
        """Those that count: the fact came out."""
        return [result.probe for result in self.results if result.leaks]


class Prober:
    """Probes the candidates of one request, one after another.

    What the model says with its adapters off is asked at the first, and serves for all. Whatever was noted under the
    same manifest and probe set is not asked again.

    Args:
        service: as its operator.
        request_id: whose adapter is probed.
        forget, retain: what it was trained on.
        language: of the bundled questions and templates.
        level: what it is held to.
        report: told how far a probing is.
        scope: of a `matched` request.
        tier: how much is asked.
        manifest: digests of what can change an answer, without the adapter.
        notes, witness: see there.
        probes: to be asked instead of new ones.
        served: measure what every caller gets, with all that is in force; not the adapter alone.
    """

    def __init__(
        self,
        service: UnlearnClient,
        request_id: str,
        forget: Sequence[Example],
        retain: Sequence[Example],
        language: str,
        level: Level,
        report: Callable[[Progress], None] = lambda _: None,
        scope: ScopeGate | None = None,
        *,
        tier: Tier = DEFAULT_TIER,
        manifest: Mapping[str, str] | None = None,
        notes: Notes | None = None,
        witness: Witness | None = None,
        probes: ProbeSet | None = None,
        served: bool = False,
    ) -> None:
        self._service = service
        self._id = request_id
        self._forget = forget
        self._retain = retain
        self._book = phrasebook(language)
        self._level = level
        self._report = report
        self._scope = scope
        self._tier = tier
        self._manifest = dict(manifest or {})
        self._notes = notes or Memory()
        self._witness = witness
        self._off = Attacker(service, PLAN_OFF, ATTACK_BATCH)
        self._simpler = Simpler(forget, self._off.respond)
        self._asked = probes
        self._plan = None if served else candidate_plan(request_id)
        self._known: _Before | None = None
        self._leaking: list[Result] = []

    @property
    def leaking(self) -> Sequence[Result]:
        """What leaked before and was asked with the adapter at the last evidence: the forget prompts, then attacks.

        With the texts that the model answered, but for attacks that were asked before a kill.
        """
        return self._leaking

    async def evidence(self, adapter: str = "") -> dict[str, Any]:
        """What comes of the adapter that is served under the request's id now. adapter: its digest. Raises
        `ClientError`, `StateConflict`.

        A forget item leaks when the answer reveals the completion that was to go. A control or a neighbour is kept when
        the answer still holds what the original one held; one whose original answer states what is to be forgotten is
        none for this request. `kept_rate` is None when no control is left. An attack counts where it brought the fact
        out before; only those are tried again.

        Of a `matched` request that catches enough of the attacks, a prompt that it does not catch is not asked again:
        it has the answer of the model as it is, which is what the service gives.
        """
        probes = self._asked = self._asked or await self._probe_set()
        if self._witness is not None:
            await self._witness.fix(adapter, probes)
        if self._known is None:
            self._known = await self._before(probes)
            leaking = frozenset(self._known.known)
            probes = self._asked = replace(probes, leaked=tuple(probe in leaking for probe in probes.attacks))
            await self._notes.put_probes(probes.to_bytes())
        before = self._known
        known = before.known
        log.info(
            "evaluation begins id=%s level=%s tier=%s seed=%d questions=%d attacks=%d",
            *(self._id, self._level, self._tier, SEED, len(probes.direct), len(known)),
        )
        scope, asked, tried = None, [True] * len(probes.direct), [True] * len(known)
        said = "as served" if self._plan is None else "candidate alone"
        if self._scope is not None:
            shown = [Prompt(tuple(messages)).shown for messages in probes.direct]
            fit = await asyncio.to_thread(self._scope.fit, [*shown, *(probe.query.prompt.shown for probe in known)])
            first = len(probes.asked)
            scope = self._scope.outcome([*fit[:first], *fit[len(shown) :]], fit[first : len(shown)])
            if scope["applies"]:
                asked, tried = fit[: len(shown)], fit[len(shown) :]
                said = "candidate where it matches"
        then = {result.probe: result for result in before.results}
        fitting = [*compress(_straight(probes), asked), *(then[probe] for probe in compress(known, tried))]
        self._leaking = [result for result in fitting if result.leaks]
        under = f"after/{adapter}"
        leaked, stayed, fluent = await self._noted(f"{under}/direct", partial(self._direct, probes, asked))
        now = {each.probe: each for each in await self._attacked(under, list(compress(known, tried)))}
        after = [now.get(probe, then[probe]) for probe in known]
        kept = dict(zip((*probes.controls, *probes.neighbours), stayed, strict=True))
        baselines = await self._baselines(probes, before, {each.probe: each.leaks for each in after}, kept)
        measured = Measured(
            level=self._level,
            forget_before=[reveals(e.prompt, e.completion, a) for e, a in zip(probes.asked, probes.said, strict=True)],
            forget_after=leaked,
            controls=[kept[each] for each in probes.controls if each.counts],
            neighbours=[kept[each] for each in probes.neighbours if each.counts],
            fluent=fluent,
            families=outcomes(before.results, after),
            texts=probes.texts,
            scope=scope,
            plan=said,
            baselines=baselines,
        )
        if self._witness is not None:
            await self._witness.conclude(adapter, probes, measured)
        return measured.to_record()

    async def _probe_set(self) -> ProbeSet:
        """The one that an earlier attempt made with the same, or a new one."""
        made_with = digest({"manifest": self._manifest, "level": self._level, "tier": self._tier, "seed": SEED})
        stored = await self._notes.probes()
        if stored is not None and (found := ProbeSet.from_bytes(stored)).made_with == made_with:
            return found
        made = await make_probe_set(
            self._service, self._forget, self._retain, self._book, self._level, self._tier, made_with
        )
        await self._notes.put_probes(made.to_bytes())
        return made

    async def _direct(self, probes: ProbeSet, asked: Sequence[bool]) -> tuple[list[bool], list[bool], list[bool]]:
        """Of each forget item whether it leaks, of each control and neighbour whether it stays, of each answer whether
        it is fluent. asked: which are; the others have the answer of the model as it is."""
        said = iter(await straight_answers(self._service, list(compress(probes.direct, asked)), self._plan))
        answers = [next(said) if fits else off for fits, off in zip(asked, probes.answers, strict=True)]
        first = len(probes.asked)
        beside = (*probes.controls, *probes.neighbours)
        return (
            [reveals(e.prompt, e.completion, a) for e, a in zip(probes.asked, answers[:first], strict=True)],
            [each.stays(text) for each, text in zip(beside, answers[first:], strict=True)],
            [is_fluent(answer) for answer in answers],
        )

    async def _before(self, probes: ProbeSet) -> _Before:
        """A family at a time, so that whoever cancels does not wait for all, nor whoever goes on asks all again."""
        results: list[Result] = []
        filtered: dict[Probe, bool] = {}
        texts: dict[Probe, tuple[str, ...]] = {}
        for family, attacks in _by_family(probes.attacks):
            self._tell(len(results), len(probes.attacks))
            found = await self._noted(f"before/{family}", partial(self._attack_before, attacks, texts))
            results += _results(attacks, found["leaked"], texts)
            filtered |= {
                probe: passed for probe, passed in zip(attacks, found["filter"], strict=True) if passed is not None
            }
        self._tell(len(probes.attacks), len(probes.attacks))
        beside = [each for each in (*probes.controls, *probes.neighbours) if each.counts]
        left = await asyncio.to_thread(self._simpler.left, beside)
        return _Before(results, filtered, dict(zip(beside, left, strict=True)))

    async def _attack_before(self, attacks: Sequence[Probe], texts: dict[Probe, tuple[str, ...]]) -> dict[str, Any]:
        results = await asyncio.to_thread(run, attacks, self._off.respond, self._off.score)
        texts |= {result.probe: result.texts for result in results}
        filtered = await asyncio.to_thread(self._simpler.filtered, results)
        return {"leaked": _flags(attacks, results), "filter": [filtered.get(probe) for probe in attacks]}

    async def _attacked(self, under: str, asked: Sequence[Probe]) -> list[Result]:
        """The attacks again, with the adapter."""
        attacker = Attacker(self._service, self._plan, ATTACK_BATCH)
        results: list[Result] = []

        async def again(attacks: Sequence[Probe]) -> list[list[bool] | None]:
            return _flags(attacks, await asyncio.to_thread(run, attacks, attacker.respond, attacker.score))

        for family, attacks in _by_family(asked):
            self._tell(len(results), len(asked))
            results += _results(attacks, await self._noted(f"{under}/{family}", partial(again, attacks)))
        self._tell(len(asked), len(asked))
        return results

    async def _baselines(
        self, probes: ProbeSet, before: _Before, still: Mapping[Probe, bool], kept: Mapping[Beside, bool]
    ) -> list[Baseline]:
        """still, kept: what leaks and what stays with the adapter."""
        size = SIZES[self._tier]
        attacks, beside = sampled(probes, before.known, size.instructed, size.staying)

        async def instructed() -> tuple[list[bool], list[bool]]:
            return await asyncio.to_thread(self._simpler.instructed, attacks, beside)

        leaked, stayed = await self._noted("before/instructed", instructed)
        told, left = dict(zip(attacks, leaked, strict=True)), dict(zip(beside, stayed, strict=True))
        through = {probe: before.filtered[probe] for probe in before.known if probe in before.filtered}
        return [
            baseline(INSTRUCTION, told, left, still, kept),
            baseline(FILTER, through, before.left, still, kept),
        ]

    async def _noted(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """What was noted of this step under the same conditions, or what comes of it now."""
        assert self._asked is not None
        where = f"{digest({'manifest': self._manifest, 'probes': self._asked.commitment})}/{name}"
        found = await self._notes.noted(where)
        if found is None:
            found = await work()
            await self._notes.note(where, found)
        return found

    def _tell(self, step: int, steps: int) -> None:
        self._report(Progress(PHASE, step, steps))


def _by_family(probes: Sequence[Probe]) -> list[tuple[str, list[Probe]]]:
    return [(family, list(attacks)) for family, attacks in groupby(probes, key=lambda probe: probe.family)]


def _flags(probes: Sequence[Probe], results: Sequence[Result]) -> list[list[bool] | None]:
    """Of each probe whether its samples leak; None for one without a result."""
    found = {result.probe: list(result.leaked) for result in results}
    return [found.get(probe) for probe in probes]


def _results(
    probes: Sequence[Probe],
    flags: Sequence[Sequence[bool] | None],
    texts: Mapping[Probe, tuple[str, ...]] = MappingProxyType({}),
) -> list[Result]:
    pairs = zip(probes, flags, strict=True)
    return [Result(probe, tuple(leaked), texts.get(probe, ())) for probe, leaked in pairs if leaked is not None]


def _straight(probes: ProbeSet) -> list[Result]:
    """The forget prompts, asked as they are, as probes that the model answered before."""
    found = []
    for number, (item, said) in enumerate(zip(probes.asked, probes.said, strict=True)):
        query = Query(Prompt(tuple(item.messages)), MAX_TOKENS)
        probe = Probe(STRAIGHT, STRAIGHT, number, query, item.prompt, item.completion)
        found.append(Result(probe, (leaks(probe, said),), (said,)))
    return found

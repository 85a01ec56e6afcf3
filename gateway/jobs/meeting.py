"""What is lost where a request applies together with those that it is likely to meet; measured before it is active.

Its own probes are asked with its adapter alone and together with the others, as they would be merged. Of the others no
text is left: what a merge does to them is read off the same answers, by the hashed names that their scopes hold, or
asked with probes that their callers had kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from adapters.evaluation.attacks.probe import Probe
from adapters.evaluation.attacks.run import Result, run
from adapters.text.evenly import evenly
from gateway.access.api_key import GLOBAL_TENANT
from gateway.client.attacks import Attacker
from gateway.client.client import UnlearnClient, candidate_plan
from gateway.client.errors import ClientError
from gateway.errors import ScopeUnreadable
from gateway.jobs.probe import STRAIGHT
from gateway.policy.interference import REACH, Leaks, Pair, nearest
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import EntrySource
from gateway.store.records import RequestRecord
from gateway.store.requests import RequestStore

log = logging.getLogger(__name__)

#: Probes of the request that are asked, half of them forget prompts where there are as many.
PROBES = 16
#: Entries that are looked at together: all of thousands of requests need not be in memory at once.
_ENTRIES = 256


class KeptProbes(Protocol):
    """Probes of other requests, which their callers had kept for a new verification."""

    async def leaking(self, request_id: str) -> Sequence[Probe]:
        """Those of this request that leaked before it was active; empty where none are kept."""


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """Whom probes meet. always: ids of those that apply to every prompt; beside: for each probe, of those that it is
    about or near to; near: of all these, whether a probe is about it. matcher: of those of either that have a scope;
    None where none has."""

    always: tuple[str, ...]
    beside: Sequence[tuple[str, ...]]
    near: Mapping[str, bool]
    matcher: Matcher | None


@dataclass
class _Tally:
    """What is known so far of one other request."""

    pair: Pair = field(default_factory=Pair)

    def add(self, own: Leaks, theirs: Leaks | None) -> None:
        known, of_theirs = self.pair.own or Leaks(), self.pair.theirs
        if theirs is not None:
            of_theirs = (of_theirs or Leaks()) + theirs
        self.pair = replace(self.pair, own=known + own, theirs=of_theirs)

    def fail(self, code: str) -> None:
        self.pair = replace(self.pair, error=code)


class Meeting:
    """One request and the active ones around it.

    Args:
        service: as its operator; it serves the request's adapter under its id.
        store, entries: where the active ones are found, and their scopes.
        detectors: what the scopes were made with; called for the first time where there is one.
        record: of the request.
        kept: None where nobody keeps probes.
    """

    def __init__(
        self,
        service: UnlearnClient,
        store: RequestStore,
        entries: EntrySource,
        detectors: Callable[[], Detectors],
        record: RequestRecord,
        kept: KeptProbes | None = None,
    ) -> None:
        self._service = service
        self._store = store
        self._entries = entries
        self._detectors = detectors
        self._record = record
        self._kept = kept

    async def measured(self, leaking: Sequence[Result]) -> dict[str, Any]:
        """For the record: `with` whom it was asked together, its probes in numbers, and each of the `others`.

        leaking: its probes that leaked before, as they did. Each is asked together with what always applies and the
        requests that it is about, or where it is about none with the one that is nearest. What the service refuses is
        an `error` of those it was to be asked with, and none of the request's. Raises `StoreUnavailable`.
        """
        probes = _some(leaking)
        active = {each.id: each for each in await self._active()}
        around = await self._surroundings([result.probe for result in probes], active)
        tallies: dict[str, _Tally] = {each: _Tally() for each in active if each in around.near or each in around.always}
        total = Leaks()
        for beside, results in _grouped(probes, around).items():
            try:
                own, theirs = await self._asked(results, beside, around.matcher)
            except ClientError as error:
                log.warning("not measured id=%s with=%s code=%s", self._record.id, ",".join(beside), error.code)
                for each in beside:
                    tallies[each].fail(error.code)
                continue
            total += own
            for each in beside:
                tallies[each].add(own, theirs.get(each))
        await self._ask_kept(tallies, around)
        log.info("met id=%s with=%s lost=%d of=%d", self._record.id, ",".join(tallies) or "none", total.lost, total.n)
        others = [{"with": each, "how": _how(each, around), **tally.pair.to_dict()} for each, tally in tallies.items()]
        return {"with": list(tallies), **asdict(total), "others": others}

    async def _active(self) -> list[RequestRecord]:
        """The others that bind the same callers, in the order of their activation."""
        policy = await self._store.policy()
        bound = (self._record.tenant, GLOBAL_TENANT)
        records = () if policy is None else policy.records or ()
        return [each for each in records if each.tenant in bound and each.id != self._record.id]

    async def _surroundings(self, probes: Sequence[Probe], active: Mapping[str, RequestRecord]) -> _Surroundings:
        matched = [each.id for each in active.values() if each.matched]
        texts = [probe.query.prompt.shown for probe in probes]
        scores: list[dict[str, float]] = [{} for _ in texts]
        scoped: set[str] = set()
        for start in range(0, len(matched), _ENTRIES):
            matcher = await self._matcher(matched[start : start + _ENTRIES])
            if matcher is None:
                continue
            scoped |= matcher.ids
            for known, found in zip(scores, await asyncio.to_thread(_scores, matcher, texts), strict=True):
                known |= found
        best: dict[str, float] = {}
        for found in scores:
            for each, score in found.items():
                best[each] = max(best.get(each, score), score)
        chosen = frozenset(nearest(best, best.keys()))
        # One whose scope cannot be read applies to every prompt.
        always = tuple(each for each in active if each not in scoped)
        beside = [tuple(each for each in active if each in _met(found, chosen)) for found in scores]
        return _Surroundings(
            always, beside, {each: best[each] >= 0 for each in chosen}, await self._matcher([*always, *chosen])
        )

    async def _matcher(self, ids: Sequence[str]) -> Matcher | None:
        """Of those of these requests that have a scope."""
        entries = await self._entries.entries(ids)
        if not entries:
            return None
        detectors = await asyncio.to_thread(self._detectors)
        return await asyncio.to_thread(_held, Matcher(detectors), entries)

    async def _asked(
        self, results: Sequence[Result], beside: Sequence[str], matcher: Matcher | None
    ) -> tuple[Leaks, dict[str, Leaks]]:
        """What comes of a group of probes with these beside, and what of those whose scopes tell. Raises `ClientError`.

        All are asked in groups of the same shape, since a model rounds by it.
        """
        probes = [result.probe for result in results]
        alone, together = await self._run(probes, ()), await self._run(probes, beside)
        theirs: dict[str, Leaks] = {}
        if matcher is None:
            return _counted(probes, alone, together, _leaks), theirs
        for each in sorted(matcher.ids.intersection(beside)):
            tells = partial(_tells, matcher, each)
            known = [result.probe for result in results if tells(result)]
            theirs[each] = Leaks()
            if known:
                without = await self._run(probes, (each,), own=False)
                theirs[each] = _counted(known, without, together, tells)
        return _counted(probes, alone, together, _leaks), theirs

    async def _ask_kept(self, tallies: Mapping[str, _Tally], around: _Surroundings) -> None:
        """The others' own probes, of those that were kept, say more than what can be read off."""
        for each, tally in tallies.items():
            kept = () if self._kept is None else evenly(await self._kept.leaking(each), PROBES)
            if not kept or tally.pair.error is not None:
                continue
            beside = dict.fromkeys((*around.always, each))
            try:
                alone, together = await self._run(kept, (each,), own=False), await self._run(kept, tuple(beside))
            except ClientError as error:
                tally.fail(error.code)
            else:
                tally.pair = replace(tally.pair, theirs=_counted(kept, alone, together, _leaks))

    async def _run(self, probes: Sequence[Probe], beside: Sequence[str], *, own: bool = True) -> dict[Probe, Result]:
        """With these requests, and with this one if it is its own."""
        ids = (self._record.id, *beside) if own else tuple(beside)
        attacker = Attacker(self._service, candidate_plan(*ids), PROBES)
        results = await asyncio.to_thread(run, probes, attacker.respond, attacker.score)
        return {result.probe: result for result in results}


def _some(leaking: Sequence[Result]) -> list[Result]:
    """Some of the forget prompts and of the attacks, each prompt once."""
    prompts = {result.probe.query.prompt.shown: result for result in reversed(leaking)}
    once = [result for result in leaking if prompts[result.probe.query.prompt.shown] is result]
    families: dict[bool, list[Result]] = {True: [], False: []}
    for result in once:
        families[result.probe.family == STRAIGHT].append(result)
    straight = evenly(families[True], PROBES // 2)
    return [*straight, *evenly(families[False], PROBES - len(straight))]


def _scores(matcher: Matcher, texts: Sequence[str]) -> list[dict[str, float]]:
    return [matcher.scores(text, REACH) for text in texts]


def _held(matcher: Matcher, entries: Mapping[str, bytes]) -> Matcher:
    for request_id, entry in entries.items():
        try:
            matcher.put(request_id, ScopeEntry.from_bytes(entry))
        except ScopeUnreadable as error:
            log.error("request=%s cannot be matched: %s", request_id, error.message)
    return matcher


def _met(scores: Mapping[str, float], chosen: frozenset[str]) -> frozenset[str]:
    """Of those chosen the ones that a prompt is about, or else the one that is nearest."""
    about = frozenset(each for each in chosen if scores.get(each, -1.0) >= 0)
    return about or frozenset(nearest(scores, chosen)[:1])


def _grouped(results: Sequence[Result], around: _Surroundings) -> dict[tuple[str, ...], list[Result]]:
    """Probes by whom they meet, without those that meet nobody."""
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result, beside in zip(results, around.beside, strict=True):
        if met := (*around.always, *beside):
            groups[met].append(result)
    return groups


def _how(request_id: str, around: _Surroundings) -> str:
    if request_id in around.always:
        return "always"
    return "matched" if around.near[request_id] else "near"


def _leaks(result: Result) -> bool:
    return result.leaks


def _tells(matcher: Matcher, request_id: str, result: Result) -> bool:
    """Whether an answer names what the other request is about, or is to keep back, and nobody had said."""
    return any(request_id in matcher.told(text, result.probe.query.prompt.shown) for text in result.texts)


def _counted(
    probes: Iterable[Probe],
    alone: Mapping[Probe, Result],
    together: Mapping[Probe, Result],
    leaks: Callable[[Result], bool],
) -> Leaks:
    """Of the probes that have results in both."""
    both = [probe for probe in probes if probe in alone and probe in together]
    return Leaks.counted([leaks(alone[probe]) for probe in both], [leaks(together[probe]) for probe in both])

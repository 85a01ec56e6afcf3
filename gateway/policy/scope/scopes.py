"""The scopes of the requests in force: read from the store as they change, asked for every prompt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from gateway.errors import ScopeUnreadable
from gateway.policy.interference import REACH
from gateway.policy.scope.batching import MatchQueue
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher

logger = logging.getLogger(__name__)

#: Entries that are looked at together: all of thousands of requests need not be in memory at once.
_ENTRIES = 256


class EntrySource(Protocol):
    """Where the entries are kept."""

    async def entries(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """The entries of these requests that are there, opened. Raises `StoreUnavailable`."""


class Scopes:
    """`refresh` holds the entries of the requests in force; `matches` asks them.

    make_matcher: an empty matcher, which may take seconds: it is made for the first request that needs it.
    """

    def __init__(self, source: EntrySource, make_matcher: Callable[[], Matcher]) -> None:
        self._source = source
        self._make_matcher = make_matcher
        self._matcher: Matcher | None = None
        self._queue: MatchQueue | None = None
        self._digests: dict[str, str | None] = {}

    @property
    def ids(self) -> frozenset[str]:
        """The requests whose entries are held."""
        return frozenset() if self._matcher is None else self._matcher.ids

    async def refresh(self, wanted: Mapping[str, str | None]) -> frozenset[str]:
        """Hold the entries of these requests and of no others; returns those that are held.

        wanted: the digest of each one's stored entry; it is read again when that changes. One whose entry is missing
        or cannot be read is not held, and whoever asks decides what that means. Raises `StoreUnavailable`.
        """
        if self._matcher is None:
            if not wanted:
                return frozenset()
            self._matcher = await asyncio.to_thread(self._make_matcher)
            self._queue = MatchQueue(self._matcher)
        held = self._matcher.ids
        new = sorted(each for each, digest in wanted.items() if each not in held or self._digests.get(each) != digest)
        found = await self._source.entries(new) if new else {}
        await asyncio.to_thread(
            self._hold, self._matcher, held - wanted.keys(), {each: found.get(each) for each in new}
        )
        self._digests = dict(wanted)
        return self._matcher.ids

    @staticmethod
    def _hold(matcher: Matcher, gone: frozenset[str], new: Mapping[str, bytes | None]) -> None:
        for request_id in gone:
            matcher.remove(request_id)
        for request_id, data in new.items():
            if _put(matcher, request_id, data or b"") is None:
                matcher.remove(request_id)

    async def neighbours(self, request_id: str) -> Mapping[str, float]:
        """The held requests that this one's stored entry comes near to, with how near; see `Matcher.neighbours`.

        Empty where it has none. Raises `StoreUnavailable`.
        """
        stored = (await self._source.entries([request_id])).get(request_id)
        if self._matcher is None or stored is None:
            return {}
        try:
            found = await asyncio.to_thread(self._matcher.neighbours, ScopeEntry.from_bytes(stored))
        except ScopeUnreadable as error:
            logger.error("request=%s cannot be compared: %s", request_id, error.message)
            return {}
        return {each: score for each, score in found.items() if each != request_id}

    async def near(self, request_id: str, others: Collection[str]) -> frozenset[str]:
        """Of the other requests, held or not, those that may apply to a prompt together with this one: either's stored
        entry comes near to the other's, or one of the two has none that can be read.

        Raises `StoreUnavailable`.
        """
        wanted = sorted(set(others) - {request_id})
        stored = await self._source.entries([request_id])
        if not (stored and wanted):
            return frozenset(wanted)
        alone, own = await asyncio.to_thread(self._fresh, stored)
        if not own:
            return frozenset(wanted)
        scores: Mapping[str, float] = {}
        if self._matcher is not None:
            scores = await asyncio.to_thread(self._matcher.neighbours, own[request_id], REACH)
        found, held = {each for each in wanted if scores.get(each, -1.0) >= 0}, self.ids
        # What is held and farther than that is far: the two sides differ by little.
        unsure = [each for each in wanted if each not in found and (each in scores or each not in held)]
        for start in range(0, len(unsure), _ENTRIES):
            some = unsure[start : start + _ENTRIES]
            stored = await self._source.entries(some)
            near = await asyncio.to_thread(self._beside, alone, own[request_id], stored)
            found.update(near, set(some) - stored.keys())
        return frozenset(found)

    def _beside(self, alone: Matcher, own: ScopeEntry, stored: Mapping[str, bytes]) -> set[str]:
        """Of these stored entries those that are near to one, from either side, and those that cannot be read."""
        around, entries = self._fresh(stored)
        near = {each for each, entry in entries.items() if alone.neighbours(entry)}
        return near.union(around.neighbours(own), stored.keys() - entries.keys())

    def _fresh(self, stored: Mapping[str, bytes]) -> tuple[Matcher, dict[str, ScopeEntry]]:
        """A matcher with these entries alone, and them, of those that can be read."""
        entries: dict[str, ScopeEntry] = {}
        matcher = self._make_matcher()
        for request_id, data in stored.items():
            if (entry := _put(matcher, request_id, data)) is not None:
                entries[request_id] = entry
        return matcher, entries

    async def matches(self, text: str) -> tuple[str, ...]:
        """The requests that a text is about, the nearest first."""
        return () if self._queue is None else await self._queue.matches(text)


def _put(matcher: Matcher, request_id: str, stored: bytes) -> ScopeEntry | None:
    """The entry that was put; None for one that cannot be read."""
    try:
        entry = ScopeEntry.from_bytes(stored)
        matcher.put(request_id, entry)
    except ScopeUnreadable as error:
        logger.error("request=%s cannot be matched: %s", request_id, error.message)
        return None
    return entry

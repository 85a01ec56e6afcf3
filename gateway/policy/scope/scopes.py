"""The scopes of the requests in force: read from the store as they change, asked for every prompt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from gateway.errors import ScopeUnreadable
from gateway.policy.scope.batching import MatchQueue
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher

logger = logging.getLogger(__name__)


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
        for request_id, entry in new.items():
            try:
                matcher.put(request_id, ScopeEntry.from_bytes(entry or b""))
            except ScopeUnreadable as error:
                matcher.remove(request_id)
                logger.error("request=%s cannot be matched: %s", request_id, error.message)

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

    async def matches(self, text: str) -> tuple[str, ...]:
        """The requests that a text is about, the nearest first."""
        return () if self._queue is None else await self._queue.matches(text)

"""The scopes of the `matched` requests in force: read from the store as they change, asked for every prompt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from gateway.errors import ScopeUnreadable
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher

logger = logging.getLogger(__name__)


class EntrySource(Protocol):
    """Where the entries are kept."""

    async def entries(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """The entries of these requests that are there, opened. Raises `StoreUnavailable`."""


class Scopes:
    """`refresh` holds the entries of the requests in force; `matches` asks them.

    make_matcher: an empty matcher, which takes seconds and some memory: it is made for the first request that needs it.
    """

    def __init__(self, source: EntrySource, make_matcher: Callable[[], Matcher]) -> None:
        self._source = source
        self._make_matcher = make_matcher
        self._matcher: Matcher | None = None

    @property
    def ids(self) -> frozenset[str]:
        """The requests whose entries are held."""
        return frozenset() if self._matcher is None else self._matcher.ids

    async def refresh(self, ids: Collection[str]) -> frozenset[str]:
        """Hold the entries of these requests and of no others; returns those that are held.

        One whose entry is missing or cannot be read is not: whoever asks must apply it to every prompt. Raises
        `StoreUnavailable`.
        """
        if self._matcher is None:
            if not ids:
                return frozenset()
            self._matcher = await asyncio.to_thread(self._make_matcher)
        matcher = self._matcher
        new = sorted(set(ids) - matcher.ids)
        found = await self._source.entries(new) if new else {}
        for request_id in matcher.ids - set(ids):
            matcher.remove(request_id)
        for request_id in new:
            try:
                matcher.put(request_id, ScopeEntry.from_bytes(found.get(request_id, b"")))
            except ScopeUnreadable as error:
                logger.error("request=%s applies to every prompt: %s", request_id, error.message)
        return matcher.ids

    async def matches(self, text: str) -> tuple[str, ...]:
        """The requests that a text is about, the nearest first."""
        return () if self._matcher is None else await asyncio.to_thread(self._matcher.matches, text)

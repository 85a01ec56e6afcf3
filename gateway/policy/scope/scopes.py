"""The scopes of the `matched` requests in force: read from the store as they change, asked for every prompt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
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
    """`refresh` holds the entries of the requests in force; `matches` asks them."""

    def __init__(self, source: EntrySource, matcher: Matcher) -> None:
        self._source = source
        self._matcher = matcher

    async def refresh(self, ids: Collection[str]) -> frozenset[str]:
        """Hold the entries of these requests and of no others; returns those that are held.

        One whose entry is missing or cannot be read is not: whoever asks must apply it to every prompt. Raises
        `StoreUnavailable`.
        """
        held = self._matcher.ids
        new = sorted(set(ids) - held)
        found = await self._source.entries(new) if new else {}
        for request_id in held - set(ids):
            self._matcher.remove(request_id)
        for request_id in new:
            try:
                self._matcher.put(request_id, ScopeEntry.from_bytes(found.get(request_id, b"")))
            except ScopeUnreadable as error:
                logger.error("request=%s applies to every prompt: %s", request_id, error.message)
        return self._matcher.ids

    async def matches(self, text: str) -> tuple[str, ...]:
        """The requests that a text is about, the nearest first."""
        return await asyncio.to_thread(self._matcher.matches, text)

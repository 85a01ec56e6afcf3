"""Erases from this host what no request needs any more: copies on disk, and adapters in the engine.

Whoever retires a request erases its artifact from Redis and from its own host. Another replica, a replica that was
down then, and the engine that tried a candidate which was not kept learn of it here. So does the append-only file of an
embedded Redis that was being rewritten when something was erased.
"""

from __future__ import annotations

import logging
from typing import Protocol

from gateway.policy.active import ActivePolicy
from gateway.store.blobs import BlobStore
from gateway.store.requests import RequestStore

logger = logging.getLogger(__name__)

POLL_S = 60.0


class AdapterHolder(Protocol):
    """The engine's side."""

    def digests(self) -> frozenset[str]:
        """Adapters that are in the engine."""

    async def evict(self, digest: str) -> bool:
        """Take an adapter out; False when it is held or absent."""


class Erasure:
    """`sweep` erases; it is to be done every `POLL_S`."""

    def __init__(self, store: RequestStore, blobs: BlobStore, holder: AdapterHolder, policy: ActivePolicy) -> None:
        self._store = store
        self._blobs = blobs
        self._holder = holder
        self._policy = policy

    async def sweep(self) -> frozenset[str]:
        """Erase what is neither in Redis nor named by a request. Returns the digests.

        Nothing is erased on the word of a Redis that lost its data. Raises `StoreUnavailable`, `DataLost`.
        """
        await self._store.compact()
        if self._policy.generation is None:
            return frozenset()
        await self._store.policy(self._policy.generation)
        here = self._holder.digests() | await self._blobs.local()
        absent = {digest for digest in sorted(here) if not await self._blobs.exists(digest)}
        if not absent:
            return frozenset()
        active = {adapter.digest for adapter in self._policy.adapters}
        unneeded = frozenset(absent - active - await self._store.digests())
        for digest in sorted(unneeded):
            await self._holder.evict(digest)
            await self._blobs.discard(digest)
            logger.info("erased what no request needs digest=%s", digest[:12])
        return unneeded

"""All API keys in memory, refreshed from Redis by generation.

Authentication touches Redis for nothing. While Redis is away the last known keys count for a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from gateway.access.api_key import ApiKey
from gateway.errors import KeysUnavailable
from gateway.store.generation import Generation, GenerationFile

logger = logging.getLogger(__name__)

#: Between two refreshes: a key that another replica revokes is refused here within a second.
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """The keys that changed up to a generation, as they are then; revoked ones are among them."""

    generation: Generation
    keys: tuple[ApiKey, ...]


class KeySource(Protocol):
    """Where the keys are written: the key store."""

    async def read(self, seen: Generation | None) -> KeyChanges | None:
        """What changed after the generation that was seen, all keys where none was; None for no change.

        Raises `StoreUnavailable`, `DataLost`.
        """


class Keyring:
    """`refresh` reads the keys; `find` asks them."""

    def __init__(self, source: KeySource, memory: GenerationFile, *, staleness_s: float) -> None:
        """memory: the generation that was known before this start, and is kept for the next one."""
        self._source = source
        self._memory = memory
        self._staleness_s = staleness_s
        self._generation = memory.load()
        self._loaded = False
        self._by_id: dict[str, ApiKey] = {}
        self._by_digest: dict[str, ApiKey] = {}
        self._fresh_at = time.monotonic()
        self._lock = asyncio.Lock()

    @property
    def issued(self) -> bool:
        """Whether a key was ever made, also one that is revoked since."""
        return self._generation is not None and self._generation.number > 0

    def find(self, digest: str) -> ApiKey | None:
        """The key whose token has this digest, while it counts; None for nobody's.

        A dictionary takes no constant time, and need not: what it compares are digests, from whose first bits no token
        can be found. Raises `KeysUnavailable` when the keys are not known or too old.
        """
        if not self._loaded:
            raise KeysUnavailable("the API keys are not loaded yet")
        age = time.monotonic() - self._fresh_at
        if self.issued and age > self._staleness_s:
            raise KeysUnavailable(
                f"the API keys are {age:.0f} s old, more than the {self._staleness_s:.0f} s allowed; "
                "Redis cannot be reached"
            )
        key = self._by_digest.get(digest)
        return key if key is not None and key.accepts(digest, time.time()) else None

    async def refresh(self) -> None:
        """Read the keys that changed. Raises `StoreUnavailable`, `DataLost`."""
        async with self._lock:
            if not self._loaded and self._generation is not None:
                await self._source.read(self._generation)  # Redis is held to what it was seen to hold
            found = await self._source.read(self._generation if self._loaded else None)
            if found is not None:
                self._take(found)
            self._fresh_at = time.monotonic()

    def _take(self, found: KeyChanges) -> None:
        for key in found.keys:
            for digest in _digests(self._by_id.get(key.id)):
                del self._by_digest[digest]
            self._by_id[key.id] = key
            self._by_digest |= dict.fromkeys(_digests(key), key)
        self._generation, self._loaded = found.generation, True
        if self.issued:  # before the first key there is nothing that Redis could lose
            self._memory.save(found.generation)
        logger.info("keys generation=%d changed=%d", found.generation.number, len(found.keys))


def _digests(key: ApiKey | None) -> list[str]:
    """Of the tokens that a key has, as far as it is not revoked."""
    if key is None or key.revoked_at is not None:
        return []
    return [digest for digest in (key.digest, key.previous_digest) if digest is not None]

"""Work that one replica does at a time, by a lease in Redis that ends by itself when its holder dies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import LockError

from gateway.store.client import call


class Lease:
    """lease:<name>  STRING  a random mark of whoever holds it

    It keeps replicas from doing the same twice, and no more than that: what is done under it must stay right where two
    hold it, since a holder that is slow loses it without knowing.
    """

    def __init__(self, redis: Redis, name: str, *, seconds: float) -> None:
        """seconds: after which a holder that died has lost it; longer than the work takes."""
        self._redis = redis
        self._key = f"lease:{name}"
        self._seconds = seconds

    @asynccontextmanager
    async def held(self) -> AsyncIterator[bool]:
        """Whether it is held here inside: false where another replica has it. Raises `StoreUnavailable`."""
        lock = self._redis.lock(self._key, timeout=self._seconds, thread_local=False)

        async def release() -> None:
            with suppress(LockError):  # it took longer than the lease
                await lock.release()

        mine: bool = await call(lambda: lock.acquire(blocking=False))
        try:
            yield mine
        finally:
            if mine:
                await call(release)

"""Requests that are to be evaluated again, by the probes that were kept; a worker that has nothing else to do does it.

verifications:waiting  ZSET  ids, by when it was asked for
verifications:running  ZSET  ids, by when the worker's lease ends
verifications:tries    HASH  of each id, how often its worker died
"""

from __future__ import annotations

import time
from typing import Any

from redis.asyncio import Redis

from gateway.store import scripts
from gateway.store.client import call

WAITING = "verifications:waiting"
RUNNING = "verifications:running"
TRIES = "verifications:tries"
#: A worker that is alive says so more often.
LEASE_S = 60.0
_MOST_TRIES = 3


class Verifications:
    """Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis, *, patience_s: float = 0.0) -> None:
        """patience_s: as of `RequestStore`."""
        self._redis = redis
        self._patience_s = patience_s
        self._claim = redis.register_script(scripts.load("claim_verification"))

    async def ask(self, request_id: str) -> None:
        """Have a request evaluated again. One that waits already waits as before."""
        await call(lambda: self._redis.zadd(WAITING, {request_id: time.time()}, nx=True), patience_s=self._patience_s)

    async def claim(self) -> str | None:
        """The request whose turn it is; None where none waits."""
        now = time.time()
        arguments: list[str | int] = [repr(now), repr(now + LEASE_S), _MOST_TRIES]
        found: Any = await call(lambda: self._claim(keys=[WAITING, RUNNING, TRIES], args=arguments))
        return None if found is None else found.decode()

    async def hold(self, request_id: str) -> None:
        """Say that it is being worked on still."""
        await call(lambda: self._redis.zadd(RUNNING, {request_id: time.time() + LEASE_S}, xx=True))

    async def done(self, request_id: str) -> None:
        """It is evaluated, or cannot be."""

        async def forget() -> None:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zrem(RUNNING, request_id)
                pipeline.hdel(TRIES, request_id)
                await pipeline.execute()

        await call(forget)

    async def give_up(self, request_id: str) -> None:
        """Its job failed or was stopped: it waits again, a few times."""
        await call(lambda: self._redis.zadd(RUNNING, {request_id: 0.0}, xx=True))

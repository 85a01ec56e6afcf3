"""The queue: the requests in state queued, oldest first. There is no second list that could say otherwise.

    requests:by_state:queued   ZSET    what waits; a claim is the compare-and-set to training, with the next attempt
    lease:<id>                 STRING  the worker that holds the request, for as long as it keeps saying so
    workers                    ZSET    workers by the time they last said that they live

A claimed request whose lease has run out was lost with its worker, and is given up for the next attempt. The number of
the attempt fences what the lost one may still write.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from gateway.errors import StateConflict
from gateway.jobs.attempt import LOST, end_attempt
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.client import call
from gateway.store.records import WORKING, RequestRecord, RequestState
from gateway.store.requests import RequestStore

log = logging.getLogger(__name__)

#: How long a worker may be silent. Several times what lies between two signs of life.
LEASE_S = 30.0
WORKERS = "workers"
_LOOK_AHEAD = 16


@dataclass(frozen=True, slots=True)
class QueueState:
    """Requests that wait and are worked on, and workers that live."""

    waiting: int
    running: int
    workers: int


class JobQueue:
    """What one worker, or a service that looks on, does with the queue. Everything raises `StoreUnavailable`."""

    def __init__(self, redis: Redis, store: RequestStore, settings: Settings) -> None:
        self._redis = redis
        self._store = store
        self._settings = settings
        self._worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    async def claim(self) -> RequestRecord | None:
        """The oldest request that waits, in training from now on and leased to this worker."""
        queued = keys.by_state(RequestState.QUEUED)
        waiting: Any = await call(lambda: self._redis.zrange(queued, 0, _LOOK_AHEAD - 1))
        for raw in waiting:
            record = await self._store.get(raw.decode())
            await self.hold(record.id)
            changes = {"attempts": record.attempts + 1, "progress": None, "error": None}
            try:
                return await self._store.transition(
                    record.id,
                    expected={RequestState.QUEUED},
                    to=RequestState.TRAINING,
                    changes=changes,
                    attempt=record.attempts,
                )
            except StateConflict:
                continue  # another worker's, or retired
        return None

    async def hold(self, request_id: str) -> None:
        """Say that this worker lives and works on the request."""
        await self.report()
        await call(lambda: self._redis.set(_lease(request_id), self._worker, px=int(1000 * LEASE_S)))

    async def report(self) -> None:
        """Say that this worker lives."""

        async def write() -> None:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zadd(WORKERS, {self._worker: time.time()})
                pipeline.zremrangebyscore(WORKERS, "-inf", time.time() - LEASE_S)
                await pipeline.execute()

        await call(write)

    async def leave(self) -> None:
        """This worker ends."""
        await call(lambda: self._redis.zrem(WORKERS, self._worker))

    async def mend(self) -> None:
        """See to what was left half-way: by a service before a request was queued, by a worker that was lost."""
        async for record in self._store.every(RequestState.REGISTERED):
            if time.time() - record.created_at > LEASE_S:
                await self._store.queue(record.id)
        for state in WORKING:
            async for record in self._store.every(state):
                if not await self._is_held(record.id):
                    log.warning("request lost with its worker id=%s attempt=%d", record.id, record.attempts)
                    await end_attempt(self._store, record, LOST, self._settings)

    async def unactivated(self) -> RequestRecord | None:
        """A request whose activation nobody came to ask for, leased to this worker. Reads all that are ready."""
        async for record in self._store.every(RequestState.READY):
            if record.awaits_activation and await self._lease(record.id):
                return record
        return None

    async def state(self) -> QueueState:
        """What waits, what is worked on, and who is there."""

        async def read() -> list[int]:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for state in (RequestState.QUEUED, *WORKING):
                    pipeline.zcard(keys.by_state(state))
                pipeline.zcount(WORKERS, time.time() - LEASE_S, "+inf")
                counts: list[int] = await pipeline.execute()
                return counts

        waiting, *running, workers = await call(read)
        return QueueState(waiting, sum(running), workers)

    async def _lease(self, request_id: str) -> bool:
        """True for a lease that nobody had."""
        name, milliseconds = _lease(request_id), int(1000 * LEASE_S)
        return bool(await call(lambda: self._redis.set(name, self._worker, px=milliseconds, nx=True)))

    async def _is_held(self, request_id: str) -> bool:
        return bool(await call(lambda: self._redis.exists(_lease(request_id))))


def _lease(request_id: str) -> str:
    return f"lease:{request_id}"

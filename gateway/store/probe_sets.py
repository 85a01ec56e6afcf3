"""What a request is evaluated with, and what came of it so far; both are gone in the instant that the evaluation ends.

probes:<id>        STRING  the probe set, sealed under the service's payload key, while the request is evaluated
results:<id>       HASH    name → JSON: booleans and numbers, no texts
kept_probes:<id>   STRING  the probe set of a caller who wants it kept, sealed under a key of its own
probe_key:<id>     STRING  that key, sealed under the payload key: without it nobody can open the set any more

The first two go with the payload, the last two when the request fails or is retired (transition.lua), or when the
caller says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis

from gateway.errors import NotFound, StateConflict
from gateway.store import keys, scripts
from gateway.store.client import call
from gateway.store.records import WORKING
from gateway.store.vault import KEY_BYTES, PayloadVault

T = TypeVar("T")


class EvaluationNotes:
    """The notes of one attempt at a request. What writes raises `StateConflict` once the request has moved on."""

    def __init__(
        self, redis: Redis, vault: PayloadVault, request_id: str, attempt: int, *, patience_s: float = 0.0
    ) -> None:
        self._redis = redis
        self._vault = vault
        self._id = request_id
        self._attempt = attempt
        self._patience_s = patience_s
        self._write = redis.register_script(scripts.load("evaluation"))

    async def probes(self) -> bytes | None:
        """The probe set that was put, or None. Raises `PayloadUnreadable`."""
        sealed: Any = await self._call(lambda: self._redis.get(f"probes:{self._id}"))
        return None if sealed is None else self._vault.open_probes(self._id, sealed)

    async def put_probes(self, data: bytes) -> None:
        await self._do("SET", f"probes:{self._id}", self._vault.seal_probes(self._id, data))

    async def noted(self, name: str) -> Any:
        """What was noted under the name; None where nothing was."""
        text: Any = await self._call(lambda: self._redis.hget(f"results:{self._id}", name))
        return None if text is None else json.loads(text)

    async def note(self, name: str, found: Any) -> None:
        await self._do("HSET", f"results:{self._id}", name, json.dumps(found, allow_nan=False))

    async def keep(self) -> None:
        """Have the probe set stay, under a key of its own, when the evaluation ends. Raises `NotFound` without one."""
        data = await self.probes()
        if data is None:
            raise NotFound(f"{self._id!r} has no probe set to keep")
        key = os.urandom(KEY_BYTES)
        # The key comes first: probes without a key are of no use to anybody.
        await self._do("SET", f"probe_key:{self._id}", self._vault.seal_probe_key(self._id, key))
        await self._do("SET", f"kept_probes:{self._id}", PayloadVault(key).seal_probes(self._id, data))

    async def _do(self, *command: Any) -> None:
        arguments = [",".join(sorted(WORKING)), str(self._attempt), *command]
        if not await self._call(lambda: self._write(keys=[keys.of(self._id).record], args=arguments)):
            raise StateConflict("the request has moved on")

    async def _call(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await call(operation, patience_s=self._patience_s)


class KeptProbes:
    """Probe sets that were kept for another evaluation."""

    def __init__(self, redis: Redis, vault: PayloadVault) -> None:
        self._redis = redis
        self._vault = vault

    async def get(self, request_id: str) -> bytes:
        """The probe set. Raises `NotFound` where none is kept, `PayloadUnreadable`."""
        names = [f"kept_probes:{request_id}", f"probe_key:{request_id}"]
        found: Any = await call(lambda: self._redis.mget(names))
        sealed, key = found
        if sealed is None or key is None:
            raise NotFound(f"no probes of {request_id!r} are kept")
        return PayloadVault(self._vault.open_probe_key(request_id, key)).open_probes(request_id, sealed)

    async def erase(self, request_id: str) -> None:
        """Delete the key, and the set with it. Raises `NotFound` where none is kept.

        An embedded Redis loses them from its append-only file at the next sweep of erasures.
        """

        async def erase() -> int:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(f"probe_key:{request_id}", f"kept_probes:{request_id}")
                pipeline.incr(keys.ERASURES)
                erased, _ = await pipeline.execute()
                return int(erased)

        if not await call(erase):
            raise NotFound(f"no probes of {request_id!r} are kept")

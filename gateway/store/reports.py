"""Reports in Redis, as their canonical bytes. They hold no personal data, and stay when their request is retired.

reports:<id>   LIST   the reports of a request, oldest first
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.errors import NotFound
from gateway.store import scripts
from gateway.store.client import call


class ReportStore:
    """patience_s: as of `RequestStore`."""

    def __init__(self, redis: Redis, *, patience_s: float = 0.0) -> None:
        self._redis = redis
        self._patience_s = patience_s
        self._put = redis.register_script(scripts.load("report"))

    async def put(self, request_id: str, report: bytes) -> None:
        """Add a report; one that is there already stays where it is."""
        await call(lambda: self._put(keys=[_key(request_id)], args=[report]), patience_s=self._patience_s)

    async def latest(self, request_id: str) -> bytes:
        """Raises `NotFound` where there is none yet."""
        found: Any = await call(lambda: self._redis.lindex(_key(request_id), -1), patience_s=self._patience_s)
        if found is None:
            raise NotFound(f"there is no report of {request_id!r} yet")
        return bytes(found)

    async def all(self, request_id: str) -> list[bytes]:
        """Oldest first."""
        found: Any = await call(lambda: self._redis.lrange(_key(request_id), 0, -1), patience_s=self._patience_s)
        return [bytes(each) for each in found]


def _key(request_id: str) -> str:
    return f"reports:{request_id}"

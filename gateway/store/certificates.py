"""Certificates in Redis.

certificates:<request id>  HASH  digest of a report → its certificate's envelopes, JSON; kept when a request is retired,
                                 for nothing of what it was about is in them
"""

from __future__ import annotations

import json
from typing import Any

from redis.asyncio import Redis

from gateway.store.client import call

Envelopes = tuple[dict[str, Any], ...]


class CertificateStore:
    """Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, request_id: str, report: str, envelopes: Envelopes) -> Envelopes:
        """Keep what certifies a report, by its digest; returns what is kept: the first that came stays."""
        await call(lambda: self._redis.hsetnx(_key(request_id), report, json.dumps(envelopes)))
        kept = await self.get(request_id, report)
        return envelopes if kept is None else kept

    async def get(self, request_id: str, report: str) -> Envelopes | None:
        text = await call(lambda: self._redis.hget(_key(request_id), report))
        return None if text is None else tuple(json.loads(text))

    async def reports(self, request_id: str) -> frozenset[str]:
        """Digests of the reports that have a certificate."""
        names: Any = await call(lambda: self._redis.hkeys(_key(request_id)))
        return frozenset(name.decode() for name in names)


def _key(request_id: str) -> str:
    return f"certificates:{request_id}"

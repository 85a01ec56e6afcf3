"""Messages to the operator's webhook that are still to be delivered.

webhooks  STREAM  about the last 1000, oldest first; written in the same instant as what they tell of
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from gateway.store.client import call

KEY = "webhooks"
MOST = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """id: of the stream, which orders messages and says when each was written. body: JSON."""

    id: str
    body: str

    @property
    def written_at(self) -> float:
        """Unix seconds, by Redis's clock."""
        return int(self.id.partition("-")[0]) / 1000


class WebhookQueue:
    """Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def oldest(self) -> Message | None:
        entries: Any = await call(lambda: self._redis.xrange(KEY, count=1))
        return Message(entries[0][0].decode(), entries[0][1][b"body"].decode()) if entries else None

    async def drop(self, message: Message) -> None:
        await call(lambda: self._redis.xdel(KEY, message.id))

    async def length(self) -> int:
        return int(await call(lambda: self._redis.xlen(KEY)))

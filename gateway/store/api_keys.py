"""API keys in Redis.

apikeys:all         HASH  id → the key as JSON, with the SHA-256 of its token
apikeys:changed     ZSET  ids by the generation that their last change made
apikeys:generation  INT   grows with every change
apikeys:marks       HASH  a random mark of each generation; see gateway.store.generation
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.access.api_key import ApiKey
from gateway.access.keyring import KeyChanges
from gateway.errors import NotFound, TooManyKeys
from gateway.store import scripts
from gateway.store.client import call
from gateway.store.generation import Generation, generation_read, new_mark, read_arguments

_ALL = "apikeys:all"
_NAMES = [_ALL, "apikeys:generation", "apikeys:marks", "apikeys:changed"]


class ApiKeyStore:
    """The keys of every tenant, and the generation that they are."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(scripts.load("generation", "put_key"))
        self._read = redis.register_script(scripts.load("generation", "read_keys"))

    async def read(self, seen: Generation | None = None) -> KeyChanges | None:
        """The keys that changed after the generation that was seen, all where none was; None for no change.

        Raises `DataLost` when this Redis never had that generation.
        """
        reply = await call(lambda: self._read(keys=_NAMES, args=read_arguments(seen)))
        generation = generation_read(reply, seen, "key", "seen")
        return None if generation is None else KeyChanges(generation, tuple(map(ApiKey.from_json, reply[3])))

    async def all(self) -> list[ApiKey]:
        """Every key, revoked ones included."""
        texts: Any = await call(lambda: self._redis.hvals(_ALL))
        return [ApiKey.from_json(text) for text in texts]

    async def get(self, key_id: str) -> ApiKey:
        """Raises `NotFound`."""
        text: Any = await call(lambda: self._redis.hget(_ALL, key_id))
        if text is None:
            raise NotFound(f"no API key {key_id!r}")
        return ApiKey.from_json(text)

    async def create(self, key: ApiKey, most: int) -> None:
        """Raises `TooManyKeys` where there are `most` already."""
        if await self._write(key, most) == b"full":
            raise TooManyKeys(f"there are {most} API keys already; those that ended count for thirty days more")

    async def replace(self, key: ApiKey) -> bool:
        """In the place of the version before it; False where that is not the one that is kept."""
        return await self._write(key, 0) == b"ok"

    async def _write(self, key: ApiKey, most: int) -> bytes:
        arguments: list[Any] = [key.id, key.to_json(), key.version, most, new_mark()]
        reply: Any = await call(lambda: self._put(keys=_NAMES, args=arguments))
        return bytes(reply)

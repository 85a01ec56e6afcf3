"""Artifacts by the SHA-256 of their content: chunks in Redis, and a copy on local disk in front of them.

    blob:{<sha256>}:meta    HASH    size, chunks, created
    blob:{<sha256>}:<i>     STRING  1 MiB chunk
    blob:{<sha256>}:users   SET     ids of the requests that need it; the scripts delete with the last
    blobs:<request>         SET     the other way round: digests of what a request needs

Both tiers are verified on every read. The disk tier is a cache and safe to delete.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.errors import AdapterUnavailable
from gateway.store import keys, scripts
from gateway.store.client import call
from gateway.store.copies import Copies

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
_UNCOMMITTED_TTL_S = 3600  # chunks of a writer that died before the meta key go away by themselves
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """`put`, `get` and `release` of byte strings named by their SHA-256 (hex)."""

    def __init__(self, redis: Redis, cache_dir: Path | None, *, patience_s: float = 0.0) -> None:
        """cache_dir None: this host keeps no copies."""
        self._redis = redis
        self._copies = None if cache_dir is None else Copies(cache_dir / "adapters")
        self._patience_s = patience_s
        self._release = redis.register_script(scripts.load("blob", "release"))

    async def put(self, data: bytes, *, owner: str | None = None) -> str:
        """Store `data` and return its digest. `owner` is the request that keeps it alive."""
        digest = hashlib.sha256(data).hexdigest()
        await call(lambda: self._write(digest, data, owner), patience_s=self._patience_s)
        await self._copy(digest, data)
        return digest

    async def get(self, digest: str) -> bytes:
        """The bytes, verified. Raises `AdapterUnavailable` when they are missing or were changed."""
        _check_name(digest)
        local = None if self._copies is None else await asyncio.to_thread(self._copies.get, digest)
        if local is not None:
            return local
        data = await call(lambda: self._read(digest), patience_s=self._patience_s)
        await self._copy(digest, data)
        return data

    async def exists(self, digest: str) -> bool:
        """Whether Redis holds it, and so every host can get it."""
        _check_name(digest)
        found = await call(
            lambda: self._redis.exists(f"blob:{{{digest}}}:meta"),
            patience_s=self._patience_s,
        )
        return bool(found)

    async def local(self) -> frozenset[str]:
        """What this host has a copy of."""
        return frozenset() if self._copies is None else await asyncio.to_thread(self._copies.digests)

    async def release(self, digest: str, *, owner: str) -> None:
        """`owner` needs it no longer; it is deleted with its last owner. A missing one is no error."""
        _check_name(digest)
        users = f"blob:{{{digest}}}:users"
        deleted = await call(lambda: self._release(keys=[users], args=[owner, digest]), patience_s=self._patience_s)
        if deleted:
            await self.discard(digest)

    async def discard(self, digest: str) -> None:
        """Remove this host's copy only."""
        _check_name(digest)
        if self._copies is not None:
            await asyncio.to_thread(self._copies.discard, digest)

    async def _copy(self, digest: str, data: bytes) -> None:
        if self._copies is not None:
            await asyncio.to_thread(self._copies.put, digest, data)

    async def _write(self, digest: str, data: bytes, owner: str | None) -> None:
        prefix = f"blob:{{{digest}}}:"
        if owner is not None:
            # First of all: from here on the retirement of another user leaves the blob alone.
            await self._redis.sadd(prefix + "users", owner)
            await self._redis.sadd(keys.of(owner).blobs, digest)
        if await self._redis.exists(prefix + "meta"):
            return
        names = []
        for start in range(0, len(data), CHUNK_BYTES):
            name = f"{prefix}{start // CHUNK_BYTES}"
            chunk = data[start : start + CHUNK_BYTES]
            await self._redis.set(name, chunk, ex=_UNCOMMITTED_TTL_S)
            names.append(name)
        async with self._redis.pipeline(transaction=True) as pipeline:
            for name in names:
                pipeline.persist(name)
            pipeline.hset(
                prefix + "meta",
                mapping={"size": len(data), "chunks": len(names), "created": repr(time.time())},
            )
            await pipeline.execute()

    async def _read(self, digest: str) -> bytes:
        prefix = f"blob:{{{digest}}}:"
        count = await self._redis.hget(prefix + "meta", "chunks")
        if count is None:
            raise AdapterUnavailable(f"adapter {digest[:12]} is not in the store")
        parts: list[Any] = [await self._redis.get(f"{prefix}{i}") for i in range(int(count))]
        data = b"".join(part for part in parts if part is not None)
        if hashlib.sha256(data).hexdigest() != digest:
            log.error("blob damaged digest=%s tier=redis", digest)
            raise AdapterUnavailable(f"adapter {digest[:12]} was damaged in the store")
        return data


def _check_name(digest: str) -> None:
    if not _DIGEST.fullmatch(digest):
        raise AdapterUnavailable("an adapter is named by a SHA-256 in hex")

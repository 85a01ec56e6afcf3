from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.store.client import call, connect, connected
from gateway.store.embedded import EmbeddedRedis
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import sample


async def test_no_server_is_store_unavailable(short_path: Path) -> None:
    async with connected(f"unix://{short_path}/nobody.sock") as client:
        with pytest.raises(StoreUnavailable):
            await RequestStore(client).generation()


async def test_wrong_credentials_say_so(redis: Redis, redis_url: str) -> None:
    await redis.config_set("requirepass", "secret")
    try:
        async with connected(redis_url.replace("unix://", "unix://:wrong@")) as client:
            with pytest.raises(StoreUnavailable, match="credentials"):
                await call(lambda: client.ping())
    finally:
        await redis.config_set("requirepass", "")


async def test_a_full_server_is_store_unavailable(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await RequestStore(redis).create(sample(), b"sealed")
    finally:
        await redis.config_set("maxmemory", "0")


async def test_patience_outlasts_a_restart(short_path: Path) -> None:
    server = EmbeddedRedis(short_path / "patience")
    server.start()
    async with connected(server.url) as client:
        store = RequestStore(client, patience_s=30)
        record, _ = await store.create(sample(), b"sealed")
        server.stop()
        waiting = asyncio.create_task(store.get(record.id))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        assert await waiting == record
    server.stop()


async def test_tls_urls_make_tls_connections() -> None:
    client = connect("rediss://example.org:6380/0")
    assert client.connection_pool.connection_class.__name__ == "SSLConnection"
    await client.aclose()

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, MasterDownError, RedisError, ResponseError, TryAgainError

from gateway.errors import StoreUnavailable
from gateway.store.client import call, connect, connected
from gateway.store.embedded import EmbeddedRedis
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import sample


async def test_no_server_is_store_unavailable(short_path: Path) -> None:
    async with connected(f"unix://{short_path}/nobody.sock") as client:
        with pytest.raises(StoreUnavailable):
            await RequestStore(client).policy()


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


@pytest.mark.parametrize(
    "error",
    [
        BusyLoadingError("Redis is loading the dataset in memory"),
        MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
        ResponseError("MISCONF Redis is configured to save RDB snapshots, but is unable to persist on disk."),
        ResponseError(
            "Error running script (call to f_1): @user_script:20: -READONLY You can't write against a replica"
        ),
        TryAgainError("Multiple keys request during rehashing of slot"),
    ],
)
async def test_what_passes_is_waited_for(error: RedisError) -> None:
    calls = iter([error, error])

    async def operation() -> str:
        for problem in calls:
            raise problem
        return "done"

    assert await call(operation, patience_s=10) == "done"


async def test_any_other_error_of_redis_is_store_unavailable_at_once(redis: Redis) -> None:
    await redis.set("text", "x")
    for operation in (
        lambda: redis.lpush("text", "y"),
        lambda: redis.zadd("text", {"y": 1}),
        lambda: redis.eval("return redis.call('INCR', KEYS[1])", 1, "text"),
    ):
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable, match="refused a command"):
                await call(operation, patience_s=60)


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

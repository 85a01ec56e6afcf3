"""A real Redis, emptied before each test, a real HTTP server, and the real detectors of scopes: each is started or
loaded once for all tests that need one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from gateway.policy.scope.detectors import Detectors
from gateway.store.client import connected
from gateway.store.embedded import EmbeddedRedis
from tests.unit.gateway.local_server import LocalServer, local_server


@pytest.fixture(scope="session")
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a unix socket, which pytest's own does not always."""
    folder = Path(tempfile.mkdtemp(prefix="ug-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded_redis(short_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(short_path / "shared") as server:
        # Waiting for the disk at every write is what the embedded server's own tests are for.
        with SyncRedis.from_url(server.url) as client:
            client.config_set("appendfsync", "no")
        yield server


@pytest.fixture
async def redis(embedded_redis: EmbeddedRedis) -> AsyncIterator[Redis]:
    """A client of an empty database."""
    async with connected(embedded_redis.url) as client:
        await client.flushall()
        yield client


@pytest.fixture
def redis_url(redis: Redis, embedded_redis: EmbeddedRedis) -> str:
    """Its URL, for what opens connections of its own."""
    return embedded_redis.url


@pytest.fixture(scope="session")
def http_server() -> Iterator[LocalServer]:
    with local_server() as server:
        yield server


@pytest.fixture(scope="session")
def detectors() -> Detectors:
    """Seconds, and only where they are asked for."""
    return Detectors.default(b"k" * 32)

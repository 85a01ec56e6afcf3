"""Every place where a running service, its worker and its Redis may leave something."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from redis import Redis

from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.requests import RequestStore
from tests.engine.service import Service
from tests.forensic.places import Place, files, processes, recent, redis_keys

#: For Redis to rewrite its append-only file.
REWRITE_S = 20.0
ROUTES = ("/forget?limit=200", "/metrics", "/doctor", "/openapi.json", "/readyz", "/v1/models")


def places(
    service: Service, *, changed_since: float, answers: Sequence[str] = (), logs: Sequence[Path] = ()
) -> Iterator[Place]:
    """Files of the data and the cache folder, among them its log and its temporary files, and these further logs; what
    is new where every program has its temporary files; Redis; the processes; and what these routes answer, beside
    `ROUTES`. What is in the memory of processes that run is not looked at.
    """
    settings = service.settings
    shared = recent(Path(tempfile.gettempdir()), since=changed_since)
    yield from files([settings.data_dir, settings.cache_dir, *shared, *logs], changed_since=changed_since)
    with Redis.from_url(redis_server(settings).url) as redis:
        yield from redis_keys(redis)
    yield from processes([own.pid for own in service_processes(service)])
    for path in (*ROUTES, *answers):
        response = service.get(path, "off")
        yield Place(f"GET {path}", response.content + str(response.headers).encode())


def append_only_file(service: Service) -> Path:
    """Of the embedded Redis."""
    return service.settings.data_dir / "redis" / "appendonly.aof"


def compacted(service: Service, *erased: bytes) -> None:
    """Returns when the append-only file has none of these. Every look that the service takes once a minute is taken
    here at once."""

    async def look() -> None:
        async with connected(redis_server(service.settings).url) as redis, asyncio.timeout(REWRITE_S):
            store = RequestStore(redis, compact=True)
            while any(data in append_only_file(service).read_bytes() for data in erased):
                await store.compact()
                await asyncio.sleep(0.05)

    asyncio.run(look())


def service_processes(service: Service) -> list[psutil.Process]:
    """The service with all that it has started."""
    assert service.process is not None
    root = psutil.Process(service.process.pid)
    return [root, *root.children(recursive=True)]

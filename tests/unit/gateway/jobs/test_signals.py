"""A signal to the whole process group while a request trains, as Ctrl-C in a terminal sends it. Real processes, but for
the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from redis.asyncio import Redis

from gateway.service.supervisor import end_process_tree, settings_environment
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.jobs.conftest import Register
from tests.unit.gateway.jobs.stub_service import TOKEN


@pytest.fixture
def settings(short_path: Path, checkpoint_dir: Path, request: pytest.FixtureRequest) -> Settings:
    """A service of its own, with its own Redis."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = short_path / str(port)
    values: dict[str, Any] = {"data_dir": folder, "cache_dir": folder / "cache", "operator_token": TOKEN, "port": port}
    return Settings(**values, model=str(checkpoint_dir))


class Toy:
    """The service as a process group."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        environment = {**os.environ, **settings_environment(self._settings)}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.unit.gateway.jobs.toy_service"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(self._is_ready):
                assert self.process.poll() is None, self._log.read_text()
                await asyncio.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    async def signal(self, *numbers: int) -> int:
        """Send them to the group; the exit status."""
        assert self.process is not None
        for number in numbers:
            os.killpg(self.process.pid, number)
            await asyncio.sleep(0.3)
        return await asyncio.to_thread(self.process.wait, self._settings.drain_timeout_s)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._settings.service_url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
async def toy(settings: Settings, tmp_path: Path) -> AsyncIterator[Toy]:
    toy = Toy(settings, tmp_path / "service.log")
    await toy.start()
    yield toy
    assert toy.process is not None
    await asyncio.to_thread(end_process_tree, toy.process.pid)
    toy.process.wait()


@pytest.fixture
async def redis(toy: Toy, settings: Settings) -> AsyncIterator[Redis]:
    async with connected(redis_server(settings).url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis, patience_s=30)


@pytest.mark.parametrize(
    ("numbers", "statuses"),
    [((signal.SIGTERM,), {0}), ((signal.SIGINT, signal.SIGINT), {0, 130})],
    ids=["term", "ctrl-c twice"],
)
async def test_all_ends_and_the_request_goes_on_at_the_next_start(
    toy: Toy,
    register: Register,
    store: RequestStore,
    until: Callable[..., Awaitable[RequestRecord]],
    marks: Path,
    numbers: tuple[int, ...],
    statuses: set[int],
) -> None:
    record = await register(config={"marks": str(marks), "behaviour": "hang once"})
    await store.queue(record.id)
    await until(record.id, lambda r: r.progress is not None)
    family = toy.family()
    assert {"redis-server"} < {process.name() for process in family}
    assert await toy.signal(*numbers) in statuses
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
    assert alive == []

    await toy.start()
    done = await until(record.id, RequestState.READY)
    assert (len(list(marks.iterdir())), done.error) == (2, None)

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

from gateway.service.supervisor import settings_environment
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

    async def start(self, **more: str) -> None:
        environment = {**os.environ, **settings_environment(self._settings), **more}
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

    async def end(self, *signals: int, pause_s: float) -> int:
        """Send them to the group; the exit status, once all of the family have ended."""
        assert self.process is not None
        family = self.family()
        assert "redis-server" in {process.name() for process in family}
        for number in signals:
            os.killpg(self.process.pid, number)
            await asyncio.sleep(pause_s)
        status = await asyncio.to_thread(self.process.wait, self._settings.drain_timeout_s)
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, 10)
        left = [process.name() for process in alive]
        for process in alive:
            process.kill()
        assert left == []
        return status

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._settings.service_url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
async def toy(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Toy]:
    """Running, with the test's own environment."""
    toy = Toy(settings, tmp_path / "service.log")
    await toy.start(**request.param)
    yield toy
    if toy.process is not None and toy.process.poll() is None:
        await toy.end(signal.SIGTERM, pause_s=0)


@pytest.fixture
async def redis(toy: Toy, settings: Settings) -> AsyncIterator[Redis]:
    async with connected(redis_server(settings).url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis, patience_s=30)


@pytest.mark.case("signals")
@pytest.mark.parametrize(
    ("toy", "signals", "pause_s", "status"),
    [
        ({"TOY_ANSWERING": "1"}, (signal.SIGINT, signal.SIGINT), 1.2, 130),
        ({}, (signal.SIGTERM, signal.SIGTERM), 0.05, 0),
    ],
    ids=["ctrl-c, and again because an answer does not end", "term, passed on by a parent in the same group"],
    indirect=["toy"],
)
async def test_all_ends_and_the_request_goes_on_at_the_next_start(
    toy: Toy,
    register: Register,
    store: RequestStore,
    until: Callable[..., Awaitable[RequestRecord]],
    marks: Path,
    signals: tuple[int, ...],
    pause_s: float,
    status: int,
) -> None:
    record = await register(config={"marks": str(marks), "behaviour": "hang once"})
    await store.queue(record.id)
    await until(record.id, lambda r: r.progress is not None)
    assert await toy.end(*signals, pause_s=pause_s) == status
    await toy.start()
    done = await until(record.id, RequestState.READY)
    assert (len(list(marks.iterdir())), done.error) == (2, None)

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
from redis import Redis

from gateway.settings import Settings
from gateway.store import embedded
from gateway.store.client import connected
from gateway.store.embedded import (
    EmbeddedRedis,
    EmbeddedRedisUnavailable,
    SharedRedis,
    redis_server,
    until_it_answers,
)
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import stored


@pytest.fixture
def data_dir(short_path: Path, request: pytest.FixtureRequest) -> Path:
    return short_path / str(abs(hash(request.node.name)))


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(data_dir) as running:
        yield running


def socket_of(server: EmbeddedRedis) -> Path:
    return Path(unquote(urlsplit(server.url).path))


def kill(server: EmbeddedRedis) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


def ping(server: EmbeddedRedis) -> bool:
    with Redis.from_url(server.url) as client:
        return bool(client.ping())


def test_it_listens_on_a_private_socket_and_on_no_port(server: EmbeddedRedis) -> None:
    socket = socket_of(server)
    assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert psutil.Process(server.pid).net_connections("inet") == []
    with Redis.from_url(server.url) as client:
        found = {name: client.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy")}
    assert found == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def test_its_files_are_private(server: EmbeddedRedis, data_dir: Path) -> None:
    with Redis.from_url(server.url) as client:
        client.set("a", "b")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data_dir / "redis").iterdir()}
    assert all(mode & 0o077 == 0 for mode in modes.values()), modes


def test_what_a_killed_rewrite_left_is_removed(data_dir: Path) -> None:
    """Redis names the files for its process, and a later one has another number."""
    folder = data_dir / "redis"
    folder.mkdir(parents=True)
    names = ("temp-rewriteaof-bg-4711.aof", "temp-rewriteaof-4711.aof", "temp-4711.rdb")
    for name in names:
        (folder / name).write_bytes(b"what was erased since")
    with EmbeddedRedis(data_dir) as server:
        assert ping(server)
        assert not [name for name in names if (folder / name).exists()]


def test_a_second_one_attaches_and_does_not_stop_it(server: EmbeddedRedis, data_dir: Path) -> None:
    other = EmbeddedRedis(data_dir)
    other.start()
    assert other.url == server.url
    assert other.pid is None
    other.stop()
    assert ping(server)


def test_stop_ends_it_and_keeps_everything(data_dir: Path) -> None:
    server = EmbeddedRedis(data_dir)
    server.start()
    with Redis.from_url(server.url) as client:
        client.set("kept", "yes")
    process = psutil.Process(server.pid)
    server.stop()
    server.stop()
    assert not process.is_running()
    with EmbeddedRedis(data_dir) as again, Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"


async def test_what_was_acknowledged_survives_sigkill(data_dir: Path) -> None:
    server = EmbeddedRedis(data_dir)
    server.start()
    async with connected(server.url) as redis:
        store = RequestStore(redis)
        active = await stored(store, RequestState.ACTIVE)
        waiting = await stored(store, RequestState.TRAINING)
    kill(server)
    assert socket_of(server).exists(), "a stale socket is left behind"
    server.start()  # the same object replaces a server that died
    async with connected(server.url) as redis:
        store = RequestStore(redis)
        assert await store.get(active.id) == active
        assert await store.get(waiting.id) == waiting
        assert await store.payload(waiting.id) == b"sealed"
        policy = await store.policy()
        assert policy is not None
        assert policy.records is not None
        assert [r.id for r in policy.records] == [active.id]
    server.stop()


def test_another_process_takes_over_after_sigkill(server: EmbeddedRedis, data_dir: Path) -> None:
    kill(server)
    with EmbeddedRedis(data_dir) as successor:
        assert successor.pid is not None
        assert ping(successor)


STARTER = (
    "import sys\nfrom pathlib import Path\nfrom gateway.store.embedded import EmbeddedRedis\n"
    "server = EmbeddedRedis(Path(sys.argv[1]))\nserver.start()\nprint(server.pid, flush=True)\n"
    "sys.stdin.read()\nserver.stop()\n"
)


@pytest.mark.case("restart")
def test_whoever_comes_after_a_killed_process_stops_its_server(data_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        left = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    first, second = EmbeddedRedis(data_dir), EmbeddedRedis(data_dir)
    for server in (first, second):
        server.start()
        assert server.pid is None, "it attaches"
    second.stop()
    assert ping(first), "one is to stop it, and no other"
    first.stop()
    psutil.wait_procs([left], 10)
    assert not left.is_running()


@pytest.mark.case("restart")
def test_of_many_starters_one_runs_it(data_dir: Path) -> None:
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = [starter.stdout.readline().strip() for starter in starters if starter.stdout]
    for starter in starters:
        starter.communicate()
    assert len(answers) == 4
    assert answers.count("None") == 3


def test_ctrl_c_does_not_reach_it(server: EmbeddedRedis) -> None:
    assert server.pid is not None
    assert os.getsid(server.pid) != os.getsid(0)


def test_a_deep_data_directory_still_works(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)
    with EmbeddedRedis(deep) as server:
        assert ping(server)
        assert stat.S_IMODE(socket_of(server).parent.stat().st_mode) == 0o700
        assert EmbeddedRedis(deep).url == server.url


def test_a_damaged_log_is_a_clear_error(data_dir: Path) -> None:
    folder = data_dir / "redis"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof").write_bytes(b"*3\r\nthis is no append-only file\r\n")
    with pytest.raises(EmbeddedRedisUnavailable, match=r"redis\.log"):
        EmbeddedRedis(data_dir).start()


def test_a_missing_binary_is_a_clear_error(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedRedisUnavailable, match="REDIS_URL"):
        EmbeddedRedis(data_dir).start()


def test_redis_url_is_somebody_elses_server(data_dir: Path) -> None:
    values: dict[str, object] = {"redis_url": "redis://:secret@example.org/0", "data_dir": data_dir}
    server = redis_server(Settings(**values))  # type: ignore[arg-type]
    assert isinstance(server, SharedRedis)
    assert server.poll() is None
    server.stop()
    assert server.url == "redis://:secret@example.org/0"
    assert not data_dir.exists()


class Slow(EmbeddedRedis):
    """Loads its keys as slowly as it is told. It can be asked meanwhile after every 1000."""

    delay_us = 0

    def _options(self) -> list[str]:
        return [*super()._options(), "--key-load-delay", str(self.delay_us)]


@pytest.fixture
def slow(data_dir: Path) -> Iterator[Slow]:
    """A server that was killed with 20000 keys in its file."""
    with Slow(data_dir) as server, Redis.from_url(server.url) as client:
        with client.pipeline(transaction=False) as pipeline:
            for i in range(20000):
                pipeline.set(f"key:{i}", "x")
            pipeline.execute()
        kill(server)
        yield server


@pytest.mark.case("restart")
async def test_a_server_that_loads_is_waited_for_and_says_how_far_it_is(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway")
    monkeypatch.setattr(embedded, "_SAY_EVERY_S", 0.1)
    slow.delay_us = 100
    said: list[str] = []
    async with asyncio.timeout(30):
        loaded = asyncio.create_task(until_it_answers(slow, said.append))
        while not any("loading" in detail for detail in said):
            await asyncio.sleep(0.01)
        pid, shared = slow.pid, SharedRedis(slow.url)
        assert "is loading its data" in str(await asyncio.to_thread(shared.poll))
        await until_it_answers(shared)
        await loaded
    assert slow.pid == pid, "none was ended and started again"
    with Redis.from_url(slow.url) as client:
        assert client.dbsize() == 20000
    percents = [int(re.findall(r"\d+", detail)[0]) for detail in said if "loading" in detail]
    assert percents == sorted(percents)
    assert percents[-1] > percents[0]
    assert any("waiting for redis: it is loading its data" in line for line in caplog.messages)


@pytest.mark.case("restart")
async def test_a_stop_does_not_wait_for_the_loading(slow: Slow) -> None:
    slow.delay_us = 300
    async with asyncio.timeout(30):
        loading = asyncio.create_task(until_it_answers(slow))
        while slow.poll() == "does not answer yet":
            await asyncio.sleep(0.01)
        process = psutil.Process(slow.pid)
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await asyncio.to_thread(slow.stop)
    assert not process.is_running()

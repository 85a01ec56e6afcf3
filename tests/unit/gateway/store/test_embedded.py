from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
from redis import Redis

from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import EmbeddedRedis, EmbeddedRedisUnavailable, SharedRedis, redis_server
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
        assert [r.id for r in policy.records] == [active.id]
    server.stop()


def test_another_process_takes_over_after_sigkill(server: EmbeddedRedis, data_dir: Path) -> None:
    kill(server)
    with EmbeddedRedis(data_dir) as successor:
        assert successor.pid is not None
        assert ping(successor)


def test_of_many_starters_one_runs_it(data_dir: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom gateway.store.embedded import EmbeddedRedis\n"
        "server = EmbeddedRedis(Path(sys.argv[1]))\nserver.start()\nprint(server.pid, flush=True)\n"
        "sys.stdin.read()\nserver.stop()\n"
    )
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
    server.start()
    server.stop()
    assert server.url == "redis://:secret@example.org/0"
    assert not data_dir.exists()


def test_it_waits_while_a_big_log_is_loaded(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as server, Redis.from_url(server.url) as client:
        with client.pipeline(transaction=False) as pipeline:
            for i in range(2000):
                pipeline.set(f"key:{i}", "x" * 1000)
            pipeline.execute()
        kill(server)
        began = time.monotonic()
        server.start()
        assert client.dbsize() == 2000
        assert time.monotonic() - began < 30

"""The chart's own Redis: its command is run here with a real redis-server."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError, OutOfMemoryError
from redis.retry import Retry

from gateway.store.embedded import server_binary
from tests.unit.deploy.chart import ROOT, Rendered

PASSWORD = "0f3a55c29b"
ONCE = Retry(NoBackoff(), 0)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stands for /data and for the mounted Secret; the redis-server on the path is the embedded one's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/redis-server").symlink_to(server_binary())
    return tmp_path


@pytest.fixture
def script(cpu: Rendered, folder: Path, port: int) -> str:
    """The container's script, with the folders of the pod moved into one of ours."""
    shell, flag, script = cpu.container("redis")["command"]
    assert (shell, flag) == ("sh", "-c")
    moved = script.replace("/run/secrets/redis", str(folder)).replace("/data", str(folder))
    return str(moved.replace("redis-server -", f"redis-server - --bind 127.0.0.1 --port {port}"))


@pytest.fixture
def server(script: str, folder: Path, port: int) -> Iterator[Redis]:
    (folder / "password").write_text(f"{PASSWORD}\n")
    path = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"}
    process = subprocess.Popen(["sh", "-c", script], env=path, stdout=subprocess.DEVNULL)
    client = Redis(port=port, password=PASSWORD, retry=ONCE)
    try:
        for _ in range(100):
            try:
                client.ping()
                break
            except ConnectionError:
                assert process.poll() is None, "it ended at once"
                time.sleep(0.05)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


def test_it_keeps_what_it_is_told_behind_a_password(server: Redis, folder: Path, port: int) -> None:
    config: Any = server.config_get("*")
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
    assert {name: config[name] for name in wanted} == wanted
    assert config["maxmemory"] == str(2**30)
    assert config["dir"] == str(folder)
    with Redis(port=port, retry=ONCE) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    server.config_set("maxmemory", "1")
    with pytest.raises(OutOfMemoryError):
        server.set("a", "b")


def test_the_password_is_in_no_process_list(server: Redis, port: int) -> None:
    assert server.ping()
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any(f"redis-server 127.0.0.1:{port}" in command for command in commands)
    assert not [command for command in commands if PASSWORD in command]


def test_an_empty_password_is_refused(script: str, folder: Path) -> None:
    (folder / "password").touch()
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "empty" in done.stderr


def test_it_persists_and_starts_as_long_as_its_file_takes(cpu: Rendered) -> None:
    redis = cpu.container("redis")
    assert {"name": "data", "mountPath": "/data"} in redis["volumeMounts"]
    (claim,) = cpu.one("StatefulSet", "forget-unlearning-gateway-redis")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"
    startup = redis["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 600
    assert startup["exec"] == redis["livenessProbe"]["exec"] == redis["readinessProbe"]["exec"]


def test_it_is_the_redis_of_compose(cpu: Rendered) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["redis"]
    image = cpu.container("redis")["image"]
    assert image.removeprefix("docker.io/library/") == compose["image"]
    assert "--appendfsync everysec" in compose["command"][-1]

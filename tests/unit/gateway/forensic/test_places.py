"""Files, a real Redis with what it has on disk, and a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from gateway.store.embedded import EmbeddedRedis
from tests.forensic.places import files, processes, recent, redis_keys
from tests.forensic.search import Needles, search

TEXT = "Quorvexilampothunder"
NEEDLES = Needles({"it": TEXT})


@pytest.fixture
def sync_redis(embedded_redis: EmbeddedRedis) -> Iterator[Redis]:
    with Redis.from_url(embedded_redis.url) as client:
        client.flushall()
        yield client


@pytest.mark.parametrize(
    "plant",
    [
        lambda redis: redis.set("key", f"a {TEXT} b"),
        lambda redis: redis.set(f"key:{TEXT}", "value"),
        lambda redis: redis.hset("key", "field", TEXT),
        lambda redis: redis.hset("key", TEXT, "value"),
        lambda redis: redis.rpush("key", "x", TEXT),
        lambda redis: redis.sadd("key", "x", TEXT),
        lambda redis: redis.zadd("key", {TEXT: 1.5}),
        lambda redis: redis.xadd("key", {"type": "state", "data": TEXT}),
        lambda redis: redis.setbit("key", 7, 1) or redis.append("key", TEXT),
    ],
    ids=["string", "name", "hash", "field", "list", "set", "zset", "stream", "bits"],
)
def test_it_is_found_in_every_type_of_key(sync_redis: Redis, plant: Callable[[Redis], object]) -> None:
    assert not search(redis_keys(sync_redis), NEEDLES)
    plant(sync_redis)
    assert len(search(redis_keys(sync_redis), NEEDLES)) == 1


@pytest.mark.parametrize("value", [TEXT, f"{TEXT * 3} {TEXT}", "aaaaaaaa" * 9 + TEXT + "b" * 200, "ab" * 5000 + TEXT])
def test_it_is_found_in_a_dump_that_redis_compressed(sync_redis: Redis, tmp_path: Path, value: str) -> None:
    """As the embedded server rewrites its append-only file, and so begins it with a dump."""
    sync_redis.set("key", value)
    since = time.time() - 1
    sync_redis.bgrewriteaof()
    while sync_redis.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.01)
    folder = Path(str(sync_redis.config_get("dir")["dir"]))
    assert (folder / "appendonly.aof").read_bytes().startswith(b"REDIS")
    found = search(files([folder], changed_since=since), NEEDLES)
    assert any(finding.place.endswith("appendonly.aof") for finding in found)


def test_files_and_their_names_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "plain.bin").write_bytes(b"\x00" + TEXT.encode())
    (tmp_path / f"{TEXT}.txt").write_text("")
    (tmp_path / "other").write_text("nothing")
    (tmp_path / "link").symlink_to("nowhere")
    found = {Path(finding.place).name for finding in search(files([tmp_path], changed_since=0), NEEDLES)}
    assert found == {"plain.bin", f"{TEXT}.txt"}


def test_a_file_from_before_is_not_read_and_no_program_can_make_one_older(tmp_path: Path) -> None:
    (tmp_path / "old").write_text(TEXT)
    assert not search(files([tmp_path], changed_since=time.time() + 60), NEEDLES)
    os.utime(tmp_path / "old", (0, 0))
    assert search(files([tmp_path], changed_since=time.time() - 60), NEEDLES)


def test_what_is_new_in_a_shared_folder_is_looked_at_whole(tmp_path: Path) -> None:
    (tmp_path / "old" / "deep").mkdir(parents=True)
    (tmp_path / "old" / "deep" / "file").write_text("")
    time.sleep(0.05)
    since = time.time()
    time.sleep(0.05)  # a file's time is that of the kernel's last tick
    (tmp_path / "old" / "deep" / "later").write_text(TEXT)
    (tmp_path / "file").write_text(TEXT)
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "file").write_text(TEXT)
    found = search(files(recent(tmp_path, since=since), changed_since=since), NEEDLES)
    assert [Path(finding.place).relative_to(tmp_path).parts[0] for finding in found] == ["file", "new"]


@pytest.mark.parametrize("where", ["argument", "environment", "nameless file"])
def test_a_process_is_looked_at(where: str) -> None:
    with tempfile.TemporaryFile() as file:
        if where == "nameless file":
            file.write(TEXT.encode())
            file.flush()
        process = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)", TEXT if where == "argument" else "x"],
            env={"NAME": TEXT if where == "environment" else "x"},
            pass_fds=[file.fileno()],
        )
        try:
            assert len(search(processes([process.pid]), NEEDLES)) == 1
        finally:
            process.kill()
            process.wait()

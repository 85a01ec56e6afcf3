"""What the service needs beside the engine, each made to fail. Redis is a real one."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.jobs.queue import QueueState
from gateway.selfcheck import host
from gateway.selfcheck.outcome import Outcome, Status
from gateway.service.metrics import GatewayMetrics
from gateway.service.sequencer import Sequencer
from gateway.settings import Settings
from gateway.store.checkpoint_file import CheckpointFile
from gateway.store.client import connect
from gateway.store.evidence_key import KEY_FILE, EvidenceKeys
from gateway.store.log import SIZE
from gateway.store.log_tail import LogTail
from tests.unit.gateway.evidence.samples import ORIGIN
from tests.unit.gateway.service.log_host import LogHost, seed


def statuses(outcomes: list[Outcome]) -> dict[str, Status]:
    return {outcome.check: outcome.status for outcome in outcomes}


async def test_a_redis_that_keeps_everything_passes(redis: Redis) -> None:
    assert set(statuses(await host.redis(redis)).values()) == {Status.PASS}


@pytest.mark.parametrize(
    ("information", "expected"),
    [
        ({"aof_enabled": 0}, Status.WARN),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, Status.FAIL),
        ({"aof_enabled": 0, "rdb_last_bgsave_status": "err"}, Status.FAIL),
    ],
)
async def test_a_redis_that_may_lose_what_it_was_told(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, information: dict[str, Any], expected: Status
) -> None:
    async def info() -> dict[str, Any]:
        return information

    monkeypatch.setattr(redis, "info", info)
    assert statuses(await host.redis(redis))["Redis persistence"] is expected


async def test_a_redis_that_evicts_fails(redis: Redis) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        (failed,) = [found for found in await host.redis(redis) if found.status is Status.FAIL]
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
    assert failed.check == "Redis eviction"
    assert "noeviction" in failed.advice


async def test_a_redis_that_is_away_is_said_to_be() -> None:
    client = connect("redis://127.0.0.1:1/0")
    try:
        with pytest.raises(StoreUnavailable):
            await host.redis(client)
    finally:
        await client.aclose()


async def test_clocks_that_agree_pass_and_others_fail(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert statuses(await host.clock(redis)) == {"clock": Status.PASS}
    now = time.time
    monkeypatch.setattr("gateway.selfcheck.host.time.time", lambda: now() + 30)
    (failed,) = await host.clock(redis)
    assert failed.status is Status.FAIL
    assert failed.measured == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("state", "own_worker", "expected"),
    [
        (QueueState(0, 1, 1), False, Status.PASS),
        (QueueState(2, 0, 0), False, Status.FAIL),
        (QueueState(0, 0, 0), False, Status.WARN),
        (QueueState(2, 0, 0), True, Status.WARN),
    ],
    ids=["alive", "none", "idle", "own"],
)
async def test_jobs_that_nobody_takes_fail(state: QueueState, own_worker: bool, expected: Status) -> None:
    async def asked() -> QueueState:
        return state

    outcomes = await host.queue(asked, own_worker=own_worker)
    assert statuses(outcomes)["worker"] is expected
    assert not any(outcome.blocks for outcome in outcomes if outcome.status is Status.FAIL)


async def test_a_folder_that_can_be_written_passes_and_is_left_empty(tmp_path: Path) -> None:
    (passed,) = await host.disk([tmp_path / "new", tmp_path / "new"])
    assert passed.status is Status.PASS
    assert not list((tmp_path / "new").iterdir())


async def test_a_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (failed,) = await host.disk([tmp_path / "file" / "below"])
    assert failed.status is Status.FAIL
    assert "UNLEARN_DATA_DIR" in failed.advice


async def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = psutil.disk_usage(str(tmp_path))._replace(free=10 * 2**20)
    monkeypatch.setattr("gateway.selfcheck.host.psutil.disk_usage", lambda _: full)
    (failed,) = await host.disk([tmp_path])
    assert (failed.status, failed.measured) == (Status.FAIL, 10.0)


@pytest.fixture
def log_host(redis: Redis, tmp_path: Path) -> LogHost:
    return LogHost(redis, tmp_path)


async def test_a_log_that_begins_and_one_that_goes_on_pass(redis: Redis, log_host: LogHost, tmp_path: Path) -> None:
    for started in (log_host, LogHost(redis, tmp_path)):  # the second has the first one's data
        for _ in range(2):
            found = await host.log(started.sequencer.state)
            assert statuses(found) == {"log": Status.PASS, "evidence key": Status.PASS}
            await started.settle()


async def test_a_checkpoint_that_cannot_be_kept_is_a_warning(log_host: LogHost) -> None:
    log_host.file.path.with_suffix(f".{os.getpid()}").mkdir()  # where it would be written first
    await log_host.settle()
    (warned, _) = await host.log(log_host.sequencer.state)
    assert (warned.check, warned.status) == ("log", Status.WARN)
    assert "data_dir" in warned.advice


async def test_a_host_that_believed_what_it_found_says_so(redis: Redis, log_host: LogHost, tmp_path: Path) -> None:
    """As one whose container was replaced without its volume."""
    size = (await log_host.settle()).size
    new = LogHost(redis, tmp_path / "new")
    for _ in range(2):
        (warned, _) = await host.log(new.sequencer.state)
        assert warned.status is Status.WARN
        assert f"the first {size} were believed" in warned.found
        await new.settle()


async def test_another_key_than_the_logs_fails_and_keeps_nobody_from_serving(
    redis: Redis, log_host: LogHost, tmp_path: Path
) -> None:
    await log_host.settle()
    other = LogHost(redis, tmp_path, 2)
    (_, failed) = await host.log(other.sequencer.state)
    assert (failed.check, failed.status, failed.blocks) == ("evidence key", Status.FAIL, False)
    assert "rotate --lost" in failed.advice


@pytest.mark.parametrize("harm", ["emptied", "cut", "unreadable", "another name"])
async def test_a_log_that_is_refused_fails_and_keeps_nobody_from_serving(
    redis: Redis, log_host: LogHost, tmp_path: Path, harm: str
) -> None:
    await log_host.settle()
    if harm == "emptied":
        await redis.flushdb()
    elif harm == "cut":
        await redis.set(SIZE, 0)
    elif harm == "unreadable":
        log_host.file.path.write_text("no checkpoint")
    origin = "log.example/another" if harm == "another name" else ORIGIN
    (failed,) = await host.log(LogHost(redis, tmp_path, origin=origin).sequencer.state)
    assert (failed.check, failed.status, failed.blocks) == ("log", Status.FAIL, False)
    assert "docs/log.md" in failed.advice


@pytest.mark.parametrize(("text", "mode"), [("no key", 0o600), ("", 0o600), (seed(1), 0o644)])
async def test_a_key_that_cannot_be_used_fails(redis: Redis, tmp_path: Path, text: str, mode: int) -> None:
    (tmp_path / KEY_FILE).write_text(text)
    (tmp_path / KEY_FILE).chmod(mode)
    keys = EvidenceKeys(Settings(data_dir=tmp_path))
    sequencer = Sequencer(LogTail(redis), keys, CheckpointFile(tmp_path), GatewayMetrics(CollectorRegistry()))
    (failed,) = await host.log(sequencer.state)
    assert (failed.status, failed.blocks) == (Status.FAIL, False)

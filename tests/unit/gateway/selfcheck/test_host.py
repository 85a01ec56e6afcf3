"""What the service needs beside the engine, each made to fail. Redis is a real one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.jobs.queue import QueueState
from gateway.selfcheck import host
from gateway.selfcheck.outcome import Outcome, Status
from gateway.store.client import connect


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

"""The worker as a process of its own: what it does about signals, killed jobs and lost servers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis.asyncio import Redis

from gateway.errors import NotFound
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedRedis
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.jobs.conftest import Register
from tests.unit.gateway.jobs.stub_service import TOKEN
from tests.unit.gateway.jobs.toy import SECRET
from tests.unit.gateway.store.samples import stored

Until = Callable[..., Awaitable[RequestRecord]]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.fixture
def start_worker(settings: Settings, log: Path) -> Iterator[Start]:
    """Starts workers, and ends those that are left."""
    workers: list[subprocess.Popen[bytes]] = []

    def start(**changes: str) -> subprocess.Popen[bytes]:
        assert settings.redis_url is not None
        environment = {
            **os.environ,
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "UNLEARN_DATA_DIR": str(settings.data_dir),
            "UNLEARN_CACHE_DIR": str(settings.cache_dir),
            "UNLEARN_GATEWAY_URL": str(settings.gateway_url),
            "UNLEARN_MODEL": str(settings.model),
            "UNLEARN_OPERATOR_TOKEN": TOKEN,
            **changes,
        }
        command = [sys.executable, "-m", "tests.unit.gateway.jobs.toy_worker"]
        with log.open("ab") as output:
            worker = subprocess.Popen(
                command, env={k: v for k, v in environment.items() if v}, stdout=output, stderr=output
            )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        if worker.poll() is None:
            for child in psutil.Process(worker.pid).children(recursive=True):
                child.kill()
            worker.kill()
            worker.wait()
    assert SECRET not in log.read_text()


def runs(marks: Path) -> int:
    return len(list(marks.iterdir()))


async def exit_status(worker: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(worker.wait, 20)


def job_process(marks: Path) -> psutil.Process:
    """The process of the latest run."""
    latest = max(marks.iterdir(), key=lambda mark: int(mark.name.partition("-")[0]))
    return psutil.Process(int(latest.name.partition("-")[2]))


async def in_training(until: Until, request_id: str, attempt: int = 1) -> RequestRecord:
    return await until(request_id, lambda r: r.attempts == attempt and r.progress is not None)


@pytest.mark.case("signals")
async def test_a_request_is_learned_and_a_signal_ends_the_worker(
    register: Register, store: RequestStore, start_worker: Start, until: Until, log: Path
) -> None:
    worker = start_worker()
    record = await register(activation="auto", completion=f"Paris. {SECRET}")
    await store.queue(record.id)
    done = await until(record.id, RequestState.ACTIVE)
    assert done.attempts == 1
    worker.send_signal(signal.SIGTERM)
    assert await exit_status(worker) == 0
    assert f"request advanced id={record.id} state=ready" in log.read_text()


async def test_a_killed_job_process_is_replaced_and_the_result_is_the_same(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    start_worker()
    disturbed = await register(config={"marks": str(marks), "behaviour": "die once"})
    undisturbed = await register()
    for record in (disturbed, undisturbed):
        await store.queue(record.id)
    done, other = await until(disturbed.id, RequestState.READY), await until(undisturbed.id, RequestState.READY)
    assert (done.attempts, runs(marks), done.error) == (2, 2, None)
    assert done.digest == other.digest
    states = [e.data async for e in store.events(disturbed.id) if e.type == "state"]
    again = next(data for data in states if data.get("previous") == "training")
    assert (again["state"], again["error"]["code"]) == ("queued", "worker_killed")


async def test_a_job_process_that_always_dies_fails_the_request(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    start_worker()
    record = await register(config={"marks": str(marks), "behaviour": "die"})
    await store.queue(record.id)
    failed = await until(record.id, RequestState.FAILED)
    assert (failed.attempts, runs(marks)) == (3, 3)
    assert failed.error == {
        "code": "worker_killed",
        "message": "the job was killed, perhaps for want of memory; given up after 3 attempts",
        "retryable": True,
    }
    with pytest.raises(NotFound):
        await store.payload(record.id)


async def test_errors_are_tried_again_and_nothing_holds_the_text(
    register: Register, store: RequestStore, start_worker: Start, until: Until, redis: Redis
) -> None:
    start_worker()
    record = await register(config={"behaviour": "raise"}, completion=SECRET)
    await store.queue(record.id)
    failed = await until(record.id, RequestState.FAILED)
    assert failed.attempts == 3
    for name in await redis.keys("*"):
        assert SECRET.encode() not in (await redis.dump(name) or b""), name


@pytest.mark.case("signals")
async def test_after_a_killed_worker_the_next_one_goes_on(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    first = start_worker()
    record = await register(config={"marks": str(marks), "behaviour": "hang once"})
    await store.queue(record.id)
    await in_training(until, record.id)
    orphan = job_process(marks)
    first.kill()
    first.wait()
    start_worker()
    done = await until(record.id, RequestState.READY)
    assert (done.attempts, runs(marks)) == (2, 2)
    await asyncio.to_thread(psutil.wait_procs, [orphan], 20)
    assert not orphan.is_running(), "it noticed that it was orphaned, and stopped"
    assert (await store.get(record.id)).state is RequestState.READY


@pytest.mark.case("signals")
async def test_a_job_process_notices_that_its_worker_is_dead(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    worker = start_worker()
    record = await register(config={"marks": str(marks), "behaviour": "hang once"})
    await store.queue(record.id)
    await in_training(until, record.id)
    orphan = job_process(marks)
    worker.kill()
    worker.wait()
    await until(record.id, RequestState.QUEUED)
    await asyncio.to_thread(psutil.wait_procs, [orphan], 20)
    assert not orphan.is_running()


@pytest.mark.case("signals")
async def test_a_signal_puts_the_job_back_as_if_it_had_not_been_tried(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    record = await register(config={"marks": str(marks), "behaviour": "hang once"})
    await store.queue(record.id)
    worker = start_worker()
    await in_training(until, record.id)
    horse = job_process(marks)
    began = time.monotonic()
    worker.send_signal(signal.SIGINT)
    assert await exit_status(worker) == 0
    assert time.monotonic() - began < 10
    assert not horse.is_running()
    waiting = await store.get(record.id)
    assert (waiting.state, waiting.attempts, waiting.error) == (RequestState.QUEUED, 0, None)
    start_worker()
    assert (await until(record.id, RequestState.READY)).attempts == 1


async def test_a_job_process_that_was_asked_to_end_has_not_failed(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    """Whoever ends a process tree may reach the job before the worker."""
    start_worker()
    record = await register(config={"marks": str(marks), "behaviour": "hang once"})
    await store.queue(record.id)
    await in_training(until, record.id)
    job_process(marks).terminate()
    done = await until(record.id, RequestState.READY)
    assert (done.attempts, runs(marks)) == (1, 2)


async def test_retiring_stops_the_job_and_the_worker_goes_on(
    register: Register, store: RequestStore, start_worker: Start, until: Until, marks: Path
) -> None:
    start_worker()
    record = await register(config={"marks": str(marks), "behaviour": "hang"})
    await store.queue(record.id)
    await in_training(until, record.id)
    await store.retire(record.id)
    following = await register()
    await store.queue(following.id)
    await until(following.id, RequestState.READY)
    assert (await store.get(record.id)).state is RequestState.RETIRED
    assert runs(marks) == 1
    with pytest.raises(NotFound):
        await store.payload(record.id)


async def test_an_activation_that_was_not_asked_for_is_asked_for(
    store: RequestStore, start_worker: Start, until: Until
) -> None:
    left = [await stored(store, RequestState.READY, activation="auto", method="toy") for _ in range(2)]
    start_worker()
    for record in left:
        assert (await until(record.id, RequestState.ACTIVE)).error is None


async def test_redis_may_be_gone_for_a_while(
    register: Register,
    store: RequestStore,
    start_worker: Start,
    until: Until,
    embedded_redis: EmbeddedRedis,
    marks: Path,
) -> None:
    worker = start_worker()
    record = await register(config={"marks": str(marks), "steps": 200})
    await store.queue(record.id)
    await in_training(until, record.id)
    await asyncio.to_thread(embedded_redis.stop)
    await asyncio.sleep(1.5)
    await asyncio.to_thread(embedded_redis.start)
    done = await until(record.id, RequestState.READY)
    assert (done.attempts, runs(marks)) == (1, 1)
    assert worker.poll() is None


async def test_an_idle_worker_finds_redis_again(
    register: Register,
    store: RequestStore,
    start_worker: Start,
    until: Until,
    embedded_redis: EmbeddedRedis,
    log: Path,
) -> None:
    worker = start_worker()
    while "worker ready" not in log.read_text():
        assert worker.poll() is None
        await asyncio.sleep(0.05)
    assert embedded_redis.pid is not None
    os.kill(embedded_redis.pid, signal.SIGKILL)
    await asyncio.to_thread(embedded_redis.start)
    record = await register()
    await store.queue(record.id)
    await until(record.id, RequestState.READY)
    assert worker.poll() is None


async def test_without_redis_url_it_brings_its_own(
    start_worker: Start, short_path: Path, service: Any, log: Path
) -> None:
    data_dir = short_path / "own"
    worker = start_worker(REDIS_URL="", UNLEARN_DATA_DIR=str(data_dir))
    while "worker ready" not in log.read_text():
        assert worker.poll() is None
        await asyncio.sleep(0.05)
    server = [child for child in psutil.Process(worker.pid).children() if child.name() == "redis-server"]
    assert len(server) == 1
    worker.send_signal(signal.SIGTERM)
    assert await exit_status(worker) == 0
    assert not server[0].is_running()

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from gateway.errors import StoreUnavailable
from gateway.jobs.liveness import worker_name
from gateway.jobs.queue import JOB, JobQueue, Standing
from gateway.settings import Settings
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import sample, stored

WAITING = "rq:queue:unlearning"
STARTED = "rq:wip:unlearning"


async def waiting(redis: Redis) -> list[str]:
    return [entry.decode() for entry in await redis.lrange(WAITING, 0, -1)]  # type: ignore[union-attr]


async def begin(redis: Redis, request_id: str, worker: str, *, expiry: float = 60) -> None:
    """What RQ leaves in Redis when a worker has taken a job and forked."""
    job = Job.key_for(request_id)
    await redis.lrem(WAITING, 0, request_id)
    await redis.hset(job, "status", JobStatus.STARTED)
    await redis.zadd(STARTED, {f"{request_id}:execution": time.time() + expiry})
    await redis.hset(f"rq:execution:{request_id}:execution", mapping={"worker_name": worker})


def gone_worker() -> str:
    host, pid, started, rest = worker_name().split("-")
    return f"{host}-{pid}-{int(started) - 1000}-{rest}"


async def test_submit(store: RequestStore, queue: JobQueue, redis: Redis, settings: Settings) -> None:
    record = await stored(store)
    assert (await queue.submit(store, record.id)).state is RequestState.QUEUED
    assert await waiting(redis) == [record.id]
    assert await queue.standing(record.id) is Standing.WAITING
    assert not await queue.enqueue(record.id), "a second time it is there already"
    assert await waiting(redis) == [record.id]


async def test_of_many_submissions_one_counts(store: RequestStore, queue: JobQueue, redis: Redis) -> None:
    record = await stored(store)
    results = await asyncio.gather(*(queue.submit(store, record.id) for _ in range(10)))
    assert {result.state for result in results} == {RequestState.QUEUED}
    assert await waiting(redis) == [record.id]


async def test_jobs_are_json_and_hold_the_id_alone(
    store: RequestStore, queue: JobQueue, redis_url: str, settings: Settings
) -> None:
    record = await stored(store)
    await queue.submit(store, record.id)
    job = await asyncio.to_thread(lambda: Job.fetch(record.id, connection=queue._connection, serializer=JSONSerializer))
    assert (job.func_name, job.args, job.kwargs) == (JOB, [record.id], {})
    assert job.retries_left == settings.job_retries
    assert job.timeout == settings.job_timeout_s + 60


async def test_cancel_takes_a_waiting_job_back(store: RequestStore, queue: JobQueue, redis: Redis) -> None:
    record = await stored(store)
    await queue.submit(store, record.id)
    await queue.cancel(record.id)
    assert await waiting(redis) == []
    assert await queue.standing(record.id) is Standing.MISSING
    await queue.cancel(record.id)


async def test_cancel_leaves_a_running_job_to_itself(store: RequestStore, queue: JobQueue, redis: Redis) -> None:
    record = await stored(store)
    await queue.submit(store, record.id)
    await begin(redis, record.id, worker_name())
    await queue.cancel(record.id)
    assert await queue.standing(record.id) is Standing.RUNNING


@pytest.mark.parametrize(
    "state", [RequestState.REGISTERED, RequestState.QUEUED, RequestState.TRAINING, RequestState.EVALUATING]
)
async def test_reconcile_gives_a_lost_request_a_job(
    store: RequestStore, queue: JobQueue, redis: Redis, state: RequestState
) -> None:
    record = await stored(store, state)
    assert await queue.reconcile(store) == 1
    assert (await store.get(record.id)).state is RequestState.QUEUED
    assert await waiting(redis) == [record.id]
    assert await queue.reconcile(store) == 0


@pytest.mark.parametrize("state", [RequestState.READY, RequestState.ACTIVE, RequestState.FAILED, RequestState.RETIRED])
async def test_reconcile_leaves_the_others_alone(
    store: RequestStore, queue: JobQueue, redis: Redis, state: RequestState
) -> None:
    record = await stored(store, state)
    assert await queue.reconcile(store) == 0
    assert await store.get(record.id) == record
    assert await waiting(redis) == []


async def test_reconcile_sees_to_an_activation_that_was_not_asked_for(
    store: RequestStore, queue: JobQueue, redis: Redis
) -> None:
    record = await stored(store, RequestState.READY, activation="auto")
    assert await queue.reconcile(store) == 1
    assert await waiting(redis) == [record.id]
    assert (await store.get(record.id)).state is RequestState.READY


async def test_many_reconciles_enqueue_a_job_once(
    store: RequestStore, redis: Redis, redis_url: str, settings: Settings
) -> None:
    records = [await stored(store, RequestState.TRAINING) for _ in range(5)]
    queues = [JobQueue(redis_url, settings) for _ in range(6)]
    mended = await asyncio.gather(*(queue.reconcile(store) for queue in queues))
    for queue in queues:
        queue.close()
    assert sum(mended) == 5
    assert sorted(await waiting(redis)) == sorted(record.id for record in records)


async def started(
    store: RequestStore, queue: JobQueue, redis: Redis, worker: str, *, expiry: float = 60, attempts: int = 1
) -> RequestRecord:
    record, _ = await store.create(sample(), b"sealed")
    await queue.submit(store, record.id)
    await begin(redis, record.id, worker, expiry=expiry)
    return await store.transition(
        record.id, expected={RequestState.QUEUED}, to=RequestState.TRAINING, changes={"attempts": attempts}
    )


async def test_a_running_job_is_left_alone(store: RequestStore, queue: JobQueue, redis: Redis) -> None:
    record = await started(store, queue, redis, worker_name())
    assert await queue.reconcile(store) == 0
    assert await store.get(record.id) == record


async def test_a_job_whose_worker_is_gone_comes_back_at_once(
    store: RequestStore, queue: JobQueue, redis: Redis
) -> None:
    record = await started(store, queue, redis, gone_worker())
    assert await queue.standing(record.id) is Standing.LOST
    assert await queue.reconcile(store) == 1
    assert (await store.get(record.id)).state is RequestState.QUEUED
    assert await waiting(redis) == [record.id]
    assert await redis.zcard(STARTED) == 0
    assert await queue.standing(record.id) is Standing.WAITING


async def test_a_worker_of_another_machine_is_given_until_its_heartbeat_ends(
    store: RequestStore, queue: JobQueue, redis: Redis
) -> None:
    fresh = await started(store, queue, redis, "0123456789ab-1-1-01234567")
    stale = await started(store, queue, redis, "0123456789ab-1-1-01234567", expiry=-1)
    assert await queue.reconcile(store) == 1
    assert (await store.get(fresh.id)).state is RequestState.TRAINING
    assert (await store.get(stale.id)).state is RequestState.QUEUED


async def test_out_of_attempts_is_failed_with_a_reason(
    store: RequestStore, queue: JobQueue, redis: Redis, settings: Settings
) -> None:
    record = await started(store, queue, redis, gone_worker(), attempts=settings.job_retries + 1)
    assert await queue.reconcile(store) == 1
    failed = await store.get(record.id)
    assert failed.state is RequestState.FAILED
    assert failed.error == {
        "code": "worker_killed",
        "message": "the worker was killed; given up after 3 attempts",
        "retryable": True,
    }
    assert await waiting(redis) == []


async def test_a_job_that_rq_gave_up_fails_its_request(store: RequestStore, queue: JobQueue, redis: Redis) -> None:
    record = await stored(store)
    await queue.submit(store, record.id)
    await redis.lrem(WAITING, 0, record.id)
    await redis.hset(Job.key_for(record.id), "status", JobStatus.FAILED)
    assert await queue.reconcile(store) == 1
    assert (await store.get(record.id)).state is RequestState.FAILED


async def test_a_job_stuck_between_queue_and_worker(store: RequestStore, queue: JobQueue, redis: Redis) -> None:
    record = await stored(store)
    await queue.submit(store, record.id)
    await redis.lmove(WAITING, f"{WAITING}:intermediate")
    assert await queue.reconcile(store) == 0, "it may be about to begin"
    await redis.set(f"{WAITING}:intermediate:first_seen:{record.id}", time.time() - 61)
    assert await queue.reconcile(store) == 1
    assert await waiting(redis) == [record.id]
    assert await redis.llen(f"{WAITING}:intermediate") == 0


def test_the_key_of_an_execution_is_what_rq_makes_it(queue: JobQueue) -> None:
    execution = Execution.from_composite_key("req_1:execution", connection=queue._connection)
    assert execution.key == "rq:execution:req_1:execution"


async def test_without_redis(settings: Settings, store: RequestStore) -> None:
    queue = JobQueue("unix:///nowhere.sock", settings)
    with pytest.raises(StoreUnavailable):
        await queue.enqueue("req_1")
    with pytest.raises(StoreUnavailable):
        await queue.reconcile(store)
    queue.close()

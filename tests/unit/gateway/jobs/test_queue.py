"""The queue over a real Redis: what is claimed once, what was lost, what is left alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.jobs import queue as queue_module
from gateway.jobs.attempt import LOST, end_attempt, give_back
from gateway.jobs.failures import Failure, TrainerStuck
from gateway.jobs.queue import JobQueue, QueueState
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import stored

S = RequestState


@pytest.fixture
def others(redis: Redis, store: RequestStore, settings: Settings) -> list[JobQueue]:
    """Other workers' sides."""
    return [JobQueue(redis, store, settings) for _ in range(6)]


async def lose(redis: Redis) -> None:
    """As if all workers had been silent for the length of a lease."""
    for name in await redis.keys("lease:*"):
        await redis.delete(name)


async def test_the_oldest_is_claimed_first_and_each_once(store: RequestStore, others: list[JobQueue]) -> None:
    waiting = [(await stored(store, S.QUEUED)).id for _ in range(4)]
    first = await others[0].claim()
    assert first is not None
    assert (first.id, first.state, first.attempts) == (waiting[0], S.TRAINING, 1)
    claimed = await asyncio.gather(*(queue.claim() for queue in others))
    assert sorted(record.id for record in claimed if record) == sorted(waiting[1:])
    assert await others[0].claim() is None


async def test_a_draft_that_is_confirmed_waits_again(store: RequestStore, queue: JobQueue) -> None:
    record = await stored(store, S.DRAFTED)
    assert (await store.queue(record.id)).state is S.QUEUED
    claimed = await queue.claim()
    assert claimed is not None
    assert (await store.queue(record.id)).state is S.TRAINING, "what is further is left alone"


async def test_what_is_retired_is_not_claimed(store: RequestStore, queue: JobQueue) -> None:
    record = await stored(store, S.QUEUED)
    await store.retire(record.id)
    assert await queue.claim() is None


@pytest.mark.parametrize("state", [S.TRAINING, S.EVALUATING])
async def test_what_was_lost_with_its_worker_waits_again(
    store: RequestStore, queue: JobQueue, others: list[JobQueue], redis: Redis, state: RequestState
) -> None:
    record = await stored(store, S.QUEUED)
    claimed = await queue.claim()
    assert claimed is not None
    if state is S.EVALUATING:
        await store.transition(record.id, expected={S.TRAINING}, to=S.EVALUATING)
    await asyncio.gather(*(other.mend() for other in others))
    assert (await store.get(record.id)).state is state, "it is held"
    await lose(redis)
    await asyncio.gather(*(other.mend() for other in others))
    lost = await store.get(record.id)
    assert (lost.state, lost.attempts, lost.error) == (S.QUEUED, 1, LOST.to_dict())
    again = await others[0].claim()
    assert again is not None
    assert (again.attempts, again.error) == (2, None)


async def test_out_of_tries_it_fails_with_a_reason(
    store: RequestStore, queue: JobQueue, redis: Redis, settings: Settings
) -> None:
    record = await stored(store, S.QUEUED)
    for _ in range(settings.job_retries + 1):
        assert await queue.claim() is not None
        await lose(redis)
        await queue.mend()
    failed = await store.get(record.id)
    assert failed.state is S.FAILED
    assert failed.error == {
        "code": "worker_killed",
        "message": "the worker was killed; given up after 3 attempts",
        "retryable": True,
    }


async def test_what_a_service_registered_and_did_not_queue(store: RequestStore, queue: JobQueue) -> None:
    fresh = await stored(store, S.REGISTERED)
    left = await stored(store, S.REGISTERED, created_at=time.time() - 60)
    await queue.mend()
    assert (await store.get(fresh.id)).state is S.REGISTERED, "its service is about to queue it"
    assert (await store.get(left.id)).state is S.QUEUED


async def test_an_activation_that_nobody_asked_for_is_handed_out_once(
    store: RequestStore, others: list[JobQueue]
) -> None:
    await stored(store, S.READY)
    wanted = await stored(store, S.READY, activation="auto")
    handed = await asyncio.gather(*(other.unactivated() for other in others))
    assert [record.id for record in handed if record] == [wanted.id]


@pytest.mark.parametrize("state", [S.READY, S.ACTIVE, S.DRAFTED, S.FAILED, S.REJECTED, S.RETIRED])
async def test_the_others_are_left_alone(store: RequestStore, queue: JobQueue, state: RequestState) -> None:
    record = await stored(store, state)
    await queue.mend()
    assert await queue.claim() is None
    assert await queue.unactivated() is None
    assert await store.get(record.id) == record


async def test_what_waits_what_runs_and_who_is_there(
    store: RequestStore, queue: JobQueue, others: list[JobQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    for state in (S.QUEUED, S.QUEUED, S.EVALUATING, S.READY):
        await stored(store, state)
    await queue.claim()
    assert await others[0].state() == QueueState(waiting=1, running=2, workers=1)
    await others[0].report()
    assert (await queue.state()).workers == 2
    await queue.leave()
    assert (await queue.state()).workers == 1
    monkeypatch.setattr(queue_module, "LEASE_S", 0.0)
    assert (await queue.state()).workers == 0, "it has been silent for too long"


async def claimed(store: RequestStore, queue: JobQueue, attempts: int, **changes: Any) -> RequestRecord:
    await stored(store, S.QUEUED, attempts=attempts - 1, **changes)
    record = await queue.claim()
    assert record is not None
    return record


async def test_given_back_it_was_not_tried(store: RequestStore, queue: JobQueue) -> None:
    record = await claimed(store, queue, 3)
    await give_back(store, record)
    waiting = await store.get(record.id)
    assert (waiting.state, waiting.attempts, waiting.error) == (S.QUEUED, 2, None)
    await give_back(store, record)  # moved on since
    assert await store.get(record.id) == waiting


def candidates(*, tried: int, of: int, evidence: bool) -> dict[str, Any]:
    names = [{"method": "toy", "config": {"steps": n}} for n in range(1, of + 1)]
    trials = [
        {**name, "digest": str(n) * 64, "evidence": {"some": 1} if evidence else None} for n, name in enumerate(names)
    ]
    return {"candidates": names, "trials": trials[:tried]}


STUCK = Failure(TrainerStuck.code, "too long", retryable=False)


@pytest.mark.parametrize(
    ("selection", "failure", "attempts", "state", "noted"),
    [
        (None, LOST, 1, S.QUEUED, None),
        (None, LOST, 3, S.FAILED, None),
        (None, STUCK, 1, S.FAILED, None),
        (candidates(tried=2, of=3, evidence=True), LOST, 1, S.QUEUED, 2),
        (candidates(tried=2, of=3, evidence=True), LOST, 3, S.QUEUED, 3),
        (candidates(tried=2, of=3, evidence=True), STUCK, 1, S.QUEUED, 3),
        (candidates(tried=0, of=3, evidence=False), LOST, 3, S.QUEUED, 1),
        (candidates(tried=2, of=3, evidence=False), LOST, 4, S.FAILED, 2),
        (candidates(tried=3, of=3, evidence=True), LOST, 9, S.FAILED, 3),
        (candidates(tried=2, of=3, evidence=True), Failure("model_mismatch", "x", False), 1, S.FAILED, 2),
        (candidates(tried=0, of=3, evidence=False), Failure("job_timeout", "interview", False), 1, S.FAILED, 0),
    ],
)
async def test_what_ends_an_attempt_costs_the_candidate_before_the_request(
    store: RequestStore,
    queue: JobQueue,
    settings: Settings,
    selection: dict[str, Any] | None,
    failure: Failure,
    attempts: int,
    state: RequestState,
    noted: int | None,
) -> None:
    record = await claimed(store, queue, attempts, selection=selection)
    await end_attempt(store, record, failure, settings)
    after = await store.get(record.id)
    assert after.state is state
    assert after.error is not None
    assert after.error["code"] == failure.code
    if noted is not None:
        assert after.selection is not None
        assert len(after.selection["trials"]) == noted


async def test_without_redis(store: RequestStore, settings: Settings) -> None:
    async with connected("unix:///nowhere.sock") as nowhere:
        queue = JobQueue(nowhere, RequestStore(nowhere), settings)
        for operation in (queue.claim, queue.report, queue.mend, queue.unactivated, queue.state, queue.leave):
            with pytest.raises(StoreUnavailable):
                await operation()

"""The job queue: one RQ job a request, under the request's id, and never pickle."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import LockError
from redis.retry import Retry as RedisRetry
from rq import Queue, Retry, Worker
from rq.exceptions import DuplicateJobError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.results import Result
from rq.serializers import JSONSerializer

from gateway.errors import StateConflict
from gateway.jobs.attempt import give_up, is_exhausted
from gateway.jobs.liveness import is_gone
from gateway.settings import Settings
from gateway.store.client import call
from gateway.store.records import PENDING, WORKING, RequestRecord, RequestState
from gateway.store.requests import MAX_PAGE, RequestStore

log = logging.getLogger(__name__)

QUEUE = "unlearning"
JOB = "gateway.jobs.learn.learn"
RESULT_TTL_S = 60
FAILURE_TTL_S = 24 * 3600
#: RQ's own timeout comes this much after the job's, which ends it with a reason.
TIMEOUT_MARGIN_S = 60
_LOCK = "jobs:reconcile"
_LOCK_TTL_S = 120
_LOCK_WAIT_S = 10
_UNFINISHED = (
    RequestState.REGISTERED,
    RequestState.QUEUED,
    RequestState.TRAINING,
    RequestState.EVALUATING,
    RequestState.READY,
)


class Standing(Enum):
    """Where a request's job is."""

    MISSING = auto()
    WAITING = auto()
    RUNNING = auto()
    LOST = auto()  # a worker took it and is gone
    DONE = auto()
    FAILED = auto()  # no retries left


def sync_connection(url: str, *, retries: int) -> Redis:
    """RQ speaks to Redis through a synchronous client. Eight retries ride out at least ten seconds without Redis."""
    backoff = ExponentialWithJitterBackoff(base=0.1, cap=2.0)
    return Redis.from_url(url, retry=RedisRetry(backoff, retries), health_check_interval=30)


def rq_queue(connection: Redis) -> Queue:
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker that Redis knows of. silent_s: since it last said that it lives."""

    name: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class QueueState:
    """Jobs that wait and run, and the workers there are."""

    waiting: int
    running: int
    workers: tuple[WorkerSeen, ...]


class JobQueue:
    """Jobs of requests. Every method raises `StoreUnavailable` when Redis is away."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._settings = settings
        self._connection = sync_connection(url, retries=2)
        self._queue = rq_queue(self._connection)

    def close(self) -> None:
        self._connection.close()

    async def submit(self, store: RequestStore, request_id: str) -> RequestRecord:
        """Move a registered or drafted request to queued and enqueue its job; one that is further is returned."""
        expected = {RequestState.REGISTERED, RequestState.DRAFTED}
        try:
            record = await store.transition(request_id, expected=expected, to=RequestState.QUEUED)
        except StateConflict:
            return await store.get(request_id)
        if not await self.enqueue(request_id) and await self.standing(request_id) is Standing.DONE:
            # The job of its draft, kept for a while. One that is just ending is left to `reconcile`.
            await call(lambda: asyncio.to_thread(self._replace, request_id, self._settings.job_retries))
        return record

    async def enqueue(self, request_id: str) -> bool:
        """Enqueue the request's job; False when it has one."""
        return await call(lambda: asyncio.to_thread(self._enqueue, request_id, self._settings.job_retries))

    async def cancel(self, request_id: str) -> None:
        """Take a waiting job out of the queue. A running one sees the request's state and stops itself."""
        await call(lambda: asyncio.to_thread(self._drop, request_id, unless=Standing.RUNNING))

    async def standing(self, request_id: str) -> Standing:
        """Where the request's job is, read in one instant."""
        return await call(lambda: asyncio.to_thread(self._standing, request_id))

    async def state(self) -> QueueState:
        """What waits, what runs, and who takes it."""
        return await call(lambda: asyncio.to_thread(self._state))

    async def reconcile(self, store: RequestStore) -> int:
        """Give every unfinished request a job again whose own is missing or was lost with its worker.

        Requests out of attempts fail with a reason. Returns how many were taken care of. Safe to run
        from any number of processes: one works at a time, and a job that waits or runs is left alone.
        """
        lock = self._connection.lock(_LOCK, timeout=_LOCK_TTL_S, thread_local=False)
        if not await call(lambda: asyncio.to_thread(lock.acquire, blocking_timeout=_LOCK_WAIT_S)):
            return 0
        try:
            mended = 0
            for request_id in await _unfinished(store):
                mended += await self._mend(store, request_id)
            return mended
        finally:
            try:
                await call(lambda: asyncio.to_thread(lock.release))
            except LockError:
                log.warning("reconcile took longer than its lock")

    async def _mend(self, store: RequestStore, request_id: str) -> int:
        standing = await self.standing(request_id)
        # Read after the job: whatever that did before it ended is in the record now.
        record = await store.get(request_id)
        if not record.unfinished or standing in (Standing.WAITING, Standing.RUNNING):
            return 0
        try:
            failed = standing is Standing.FAILED or is_exhausted(record, self._settings)
            if failed and record.state in PENDING:
                await give_up(store, record)
                return 1
            if record.state in WORKING or record.state is RequestState.REGISTERED:
                await store.transition(
                    request_id, expected={record.state}, to=RequestState.QUEUED, attempt=record.attempts
                )
        except StateConflict:
            return 0  # somebody retired it just now
        retries = max(0, self._settings.job_retries - record.tries)
        await call(lambda: asyncio.to_thread(self._replace, request_id, retries))
        log.info("request requeued id=%s job=%s attempts=%d", request_id, standing.name.lower(), record.attempts)
        return 1

    def _state(self) -> QueueState:
        now = datetime.now(UTC)
        workers = [worker for worker in Worker.all(connection=self._connection) if not is_gone(worker.name)]
        seen = [
            WorkerSeen(worker.name, (now - worker.last_heartbeat.replace(tzinfo=UTC)).total_seconds())
            for worker in workers
            if worker.last_heartbeat is not None
        ]
        return QueueState(self._queue.count, self._queue.started_job_registry.count, tuple(seen))

    def _enqueue(self, request_id: str, retries: int) -> bool:
        try:
            self._queue.enqueue(
                JOB,
                request_id,
                job_id=request_id,
                job_timeout=self._settings.job_timeout_s + TIMEOUT_MARGIN_S,
                # At once: a pause would need RQ's scheduler, one more process; the job itself waits where it must.
                retry=Retry(max=retries) if retries else None,
                result_ttl=RESULT_TTL_S,
                failure_ttl=FAILURE_TTL_S,
                unique=True,
            )
        except DuplicateJobError:
            return False
        return True

    def _replace(self, request_id: str, retries: int) -> None:
        self._drop(request_id)
        self._enqueue(request_id, retries)

    def _drop(self, request_id: str, *, unless: Standing | None = None) -> None:
        # Not Job.delete: it fails on executions whose keys have expired, which is what a lost job has.
        if unless is not None and self._standing(request_id) is unless:
            return
        job = Job(request_id, connection=self._connection, serializer=JSONSerializer)
        started = self._queue.started_job_registry.key
        with self._connection.pipeline() as pipeline:
            pipeline.lrem(self._queue.key, 0, request_id)
            pipeline.lrem(self._queue.intermediate_queue_key, 0, request_id)
            pipeline.zrem(self._queue.failed_job_registry.key, request_id)
            for entry, _ in self._executions(self._connection.zrange(started, 0, -1, withscores=True), request_id):
                pipeline.zrem(started, entry)
            pipeline.delete(
                job.key,
                ExecutionRegistry(request_id, self._connection).key,
                Result.get_key(request_id),
                self._queue.intermediate_queue.get_first_seen_key(request_id),
            )
            pipeline.execute()

    def _standing(self, request_id: str) -> Standing:
        with self._connection.pipeline(transaction=True) as pipeline:
            pipeline.hget(Job.key_for(request_id), "status")
            pipeline.lpos(self._queue.key, request_id)
            pipeline.lpos(self._queue.intermediate_queue_key, request_id)
            pipeline.zrange(self._queue.started_job_registry.key, 0, -1, withscores=True)
            status, waiting, between, started = pipeline.execute()
        if status is None:
            return Standing.MISSING
        if any(self._is_alive(entry, expiry) for entry, expiry in self._executions(started, request_id)):
            return Standing.RUNNING
        if status.decode() == JobStatus.FINISHED:
            return Standing.DONE
        if status.decode() in (JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED):
            return Standing.FAILED
        if waiting is not None:
            return Standing.WAITING
        if between is not None:
            # Taken from the queue, not begun: a matter of milliseconds, unless the worker died right there.
            intermediate = self._queue.intermediate_queue
            if intermediate.set_first_seen(request_id) or not intermediate.should_be_cleaned_up(request_id):
                return Standing.WAITING
        return Standing.LOST

    @staticmethod
    def _executions(entries: Any, request_id: str) -> list[tuple[str, float]]:
        """Entries of RQ's registry of started jobs, `<job>:<execution>`, that belong to this job."""
        found = [(entry.decode(), float(expiry)) for entry, expiry in entries]
        return [(entry, expiry) for entry, expiry in found if entry.partition(":")[0] == request_id]

    def _is_alive(self, entry: str, expiry: float) -> bool:
        if expiry < time.time():
            return False
        execution = Execution.from_composite_key(entry, connection=self._connection)
        worker: Any = self._connection.hget(execution.key, "worker_name")
        return worker is not None and not is_gone(worker.decode())


async def _unfinished(store: RequestStore) -> list[str]:
    ids = []
    for state in _UNFINISHED:
        cursor = None
        while True:
            page = await store.list(state, MAX_PAGE, cursor)
            ids += [record.id for record in page.items if record.unfinished]
            cursor = page.next_cursor
            if cursor is None:
                break
    return ids

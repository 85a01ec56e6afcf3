"""The worker: takes requests from the queue, one process a job, and answers for what becomes of each.

This process never imports torch; the work-horse it forks for a job does, and frees everything by exiting.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import StopRequested
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker_registration import clean_worker_registry

from gateway.errors import NotFound, StateConflict, StoreUnavailable
from gateway.jobs.attempt import give_up
from gateway.jobs.context import worker_settings
from gateway.jobs.liveness import worker_name
from gateway.jobs.queue import QUEUE, JobQueue, rq_queue, sync_connection
from gateway.service.logs import configure_logging
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import redis_server, until_it_answers
from gateway.store.records import PENDING, WORKING, RequestState
from gateway.store.requests import RequestStore

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
_RQ_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_RESTART_PAUSE_S = 1.0
_HEARTBEAT_S = 15
_WORKER_TTL_S = 60  # how often an idle worker wakes to reconcile, roughly


class LearningWorker(Worker):  # type: ignore[misc]
    """RQ's forking worker, with three differences.

    It stops at the first signal: the job in hand goes back to the queue, as if it had not been tried. It keeps
    watching its work-horse while Redis is away. Jobs lost with another worker are mended by
    `JobQueue.reconcile` alone, so that no two paths enqueue one job twice.
    """

    def __init__(self, connection: Redis, url: str, settings: Settings) -> None:
        super().__init__(
            [rq_queue(connection)],
            name=worker_name(),
            connection=connection,
            serializer=JSONSerializer,
            worker_ttl=_WORKER_TTL_S,
            job_monitoring_interval=_HEARTBEAT_S,
            maintenance_interval=_WORKER_TTL_S,
            log_job_description=False,
        )
        self._url = url
        self._settings = settings
        self.stopping = False
        self._busy = False

    def request_stop(self, _signum: int, _frame: FrameType | None) -> None:
        """Signal handler: end the work-horse and see its job off, or leave the loop when there is none."""
        self.stopping = self._stop_requested = True
        if self.horse_pid:
            self._end_horse()
        elif not self._busy:
            raise StopRequested

    def fork_work_horse(self, job: Job, queue: Any) -> None:
        super().fork_work_horse(job, queue)
        if self.stopping:  # the signal came just before there was a pid to end
            self._end_horse()

    def maintain_heartbeats(self, job: Job, execution: Any) -> None:
        try:
            super().maintain_heartbeats(job, execution)
        except RedisError as error:
            # Leaving now would orphan a work-horse that is doing well.
            log.warning("heartbeat missed id=%s error=%s", job.id, type(error).__name__)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """Called before RQ enqueues the job again, so nobody else works on the request yet."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)
        # Whoever ends the whole process tree sends SIGTERM to the work-horse as well, perhaps first.
        interrupted = self.stopping or (os.WIFSIGNALED(ret_val) and os.WTERMSIG(ret_val) == signal.SIGTERM)
        if interrupted:
            job.retries_left = (job.retries_left or 0) + 1  # an interruption is not a failure
        try:
            asyncio.run(self._requeue_request(job.id, interrupted=interrupted))
        except StoreUnavailable:
            log.error("request left to reconcile id=%s", job.id)

    def execute_job(self, job: Job, queue: Any) -> None:
        self._busy = True
        try:
            super().execute_job(job, queue)
            asyncio.run(self._settle(job))
        except StoreUnavailable:
            log.error("request left to reconcile id=%s", job.id)
        finally:
            self._busy = False

    def run_maintenance_tasks(self) -> None:
        """In place of RQ's own, which would enqueue lost jobs behind `reconcile`'s back."""
        self.last_cleaned_at = now()
        for queue in self.queues:
            queue.finished_job_registry.cleanup()
            queue.failed_job_registry.cleanup()
            clean_worker_registry(queue)
        try:
            asyncio.run(self._reconcile())
        except StoreUnavailable as error:
            log.warning("reconcile put off error=%s", error.message)

    def _end_horse(self) -> None:
        try:
            os.kill(self.horse_pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has just finished

    async def _requeue_request(self, request_id: str, *, interrupted: bool) -> None:
        async with connected(self._url) as redis:
            store = RequestStore(redis, patience_s=PATIENCE_S)
            try:
                record = await store.get(request_id)
                if record.state not in WORKING:
                    return
                if interrupted:
                    changes: dict[str, Any] = {"attempts": record.attempts - 1}
                else:
                    message = "the work-horse was killed, perhaps for want of memory"
                    changes = {"error": {"code": "worker_killed", "message": message, "retryable": True}}
                await store.transition(
                    request_id, expected=WORKING, to=RequestState.QUEUED, changes=changes, attempt=record.attempts
                )
            except (NotFound, StateConflict):
                return  # it was retired or finished just now

    async def _settle(self, job: Job) -> None:
        """Fail the request of a job that RQ has given up."""
        async with connected(self._url) as redis:
            store = RequestStore(redis, patience_s=PATIENCE_S, compact=self._settings.redis_url is None)
            if await asyncio.to_thread(job.get_status) != JobStatus.FAILED:
                return
            try:
                record = await store.get(job.id)
                if record.state in PENDING:
                    await give_up(store, record)
            except (NotFound, StateConflict):
                return

    async def _reconcile(self) -> None:
        queue = JobQueue(self._url, self._settings)
        try:
            async with connected(self._url) as redis:
                await queue.reconcile(RequestStore(redis, compact=self._settings.redis_url is None))
        finally:
            queue.close()


def run_worker(settings: Settings) -> int:
    """Work until a signal comes; 0 then. With no REDIS_URL, attaches to the embedded server or starts it.

    Comes back by itself when Redis does. Raises `EmbeddedRedisUnavailable`.
    """
    configure_logging()
    # Read when the work-horse imports torch: threads that spin while they wait take the engine's cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    worker_settings.set(settings)
    server = redis_server(settings)
    signal.signal(signal.SIGTERM, _stop_before_work)
    signal.signal(signal.SIGINT, _stop_before_work)
    log.info("worker started pid=%d queue=%s", os.getpid(), QUEUE)
    try:
        while not _work(server, settings):
            time.sleep(_RESTART_PAUSE_S)
    except StopRequested:
        pass
    finally:
        server.stop()
    log.info("worker stopped pid=%d", os.getpid())
    return 0


def _work(server: Any, settings: Settings) -> bool:
    """One life of the worker; True when it was told to stop, False when it lost Redis."""
    asyncio.run(until_it_answers(server))
    with sync_connection(server.url, retries=8) as connection:
        try:
            worker = LearningWorker(connection, server.url, settings)
            log.info("worker ready pid=%d name=%s", os.getpid(), worker.name)
            worker.work(logging_level="WARNING", log_format=_RQ_LOG_FORMAT)
        except RedisError as error:
            log.warning("worker lost redis error=%s", type(error).__name__)
            return False
        return bool(worker.stopping)


def _stop_before_work(_signum: int, _frame: FrameType | None) -> None:
    raise StopRequested

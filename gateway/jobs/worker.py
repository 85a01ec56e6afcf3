"""The worker: claims requests, runs one process a job, and answers for what becomes of each.

This process never imports torch; the job's process does, and frees everything by exiting. The job goes back to the
queue at the first signal, as if it had not been tried.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gateway.errors import StoreUnavailable
from gateway.jobs.attempt import end_attempt, give_back
from gateway.jobs.failures import Failure, TrainerStuck
from gateway.jobs.queue import LEASE_S, JobQueue
from gateway.service.core_dumps import forbid_core_dumps
from gateway.service.logs import configure_logging
from gateway.service.supervisor import settings_environment
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import RedisServer, is_embedded, redis_server, until_it_answers
from gateway.store.records import RequestRecord
from gateway.store.requests import RequestStore
from gateway.store.verifications import Verifications

log = logging.getLogger(__name__)

JOB = (sys.executable, "-m", "gateway.jobs")
VERIFY = (sys.executable, "-m", "gateway.jobs.verification")
_POLL_S = 0.5
#: Between two signs of life, and between two looks at what others left half-way.
_REPORT_S = LEASE_S / 4
#: Between two looks for activations that were not asked for, which reads every request that is ready.
_ACTIVATIONS_S = 60.0
#: A job ends itself when its time is up; this much later it is ended.
_MARGIN_S = 60.0
#: Less than a worker is given to end.
_PATIENCE_S = 3.0


class Worker:
    """Works until it is told to stop."""

    def __init__(
        self,
        queue: JobQueue,
        verifications: Verifications,
        store: RequestStore,
        settings: Settings,
        command: Sequence[str] = JOB,
        verify: Sequence[str] = VERIFY,
    ) -> None:
        """command: what runs a job, given the request and the number of the attempt. verify: what evaluates a request
        again, given the request."""
        self._queue = queue
        self._verifications = verifications
        self._verify_command = tuple(verify)
        self._store = store
        self._settings = settings
        self._command = tuple(command)
        self._stop = asyncio.Event()
        self._due: dict[str, float] = {}

    def stop(self) -> None:
        """End the job in hand, and then."""
        self._stop.set()

    async def run(self, server: RedisServer) -> None:
        """Until `stop`. Comes back by itself when Redis does. Raises `EmbeddedRedisUnavailable`."""
        while not self._stop.is_set():
            await self._unless_stopped(until_it_answers(server))
            try:
                await self._queue.report()
                log.info("worker ready pid=%d", os.getpid())
                while not self._stop.is_set():
                    if (record := await self._next()) is not None:
                        await self._work(record)
                    elif (request_id := await self._verifications.claim()) is not None:
                        await self._verify(request_id)
                    else:
                        await self._unless_stopped(asyncio.sleep(_POLL_S))
                await self._queue.leave()
            except StoreUnavailable as error:
                log.warning("worker lost redis: %s", error.message)

    async def _next(self) -> RequestRecord | None:
        if self._is_due("report", _REPORT_S):
            await self._queue.report()
            await self._queue.mend()
        if self._is_due("activations", _ACTIVATIONS_S) and (record := await self._queue.unactivated()) is not None:
            del self._due["activations"]  # there may be more
            return record
        return await self._queue.claim()

    def _is_due(self, what: str, every_s: float) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._due.get(what, now):
            return False
        self._due[what] = now + every_s
        return True

    async def _work(self, record: RequestRecord) -> None:
        limit_s = self._settings.job_timeout_s * (1 + len(record.candidates)) + _MARGIN_S
        job = (*self._command, record.id, str(record.attempts))
        status, ended = await self._run(job, limit_s, partial(self._queue.hold, record.id))
        try:
            if status == 0:
                return
            if self._stop.is_set() or ended == -signal.SIGTERM:  # whoever ends a tree may reach the job first
                await give_back(self._store, record)
            else:
                await end_attempt(self._store, record, _failure(status), self._settings)
        except StoreUnavailable:
            log.error("request left until its lease ends id=%s", record.id)

    async def _verify(self, request_id: str) -> None:
        limit_s = self._settings.job_timeout_s + _MARGIN_S
        job = (*self._verify_command, request_id)
        status, ended = await self._run(job, limit_s, partial(self._verifications.hold, request_id))
        if status == 0:
            await self._verifications.done(request_id)
        else:
            log.warning("verification ended id=%s status=%d, it waits again", request_id, ended)
            await self._verifications.give_up(request_id)

    async def _run(
        self, command: Sequence[str], limit_s: float, hold: Callable[[], Awaitable[None]]
    ) -> tuple[int | None, int]:
        """A job's exit status, None when it was told to stop or was out of time, and how its process ended."""
        environment = {**os.environ, **settings_environment(self._settings)}
        # A session of its own: what is sent to the worker's group is the worker's to decide on.
        job = await asyncio.create_subprocess_exec(*command, env=environment, start_new_session=True)
        try:
            async with asyncio.timeout(limit_s):
                status = await self._until_it_ends(job, hold)
        except TimeoutError:
            status = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            ended = await job.wait()
        return status, ended

    async def _until_it_ends(self, job: asyncio.subprocess.Process, hold: Callable[[], Awaitable[None]]) -> int | None:
        """The job's exit status; None when the worker is to stop."""
        ended, stopped = asyncio.ensure_future(job.wait()), asyncio.ensure_future(self._stop.wait())
        try:
            while not ended.done() and not stopped.done():
                try:
                    await hold()
                except StoreUnavailable as error:
                    log.warning("lease not renewed: %s", error.message)
                await asyncio.wait({ended, stopped}, timeout=_REPORT_S, return_when=asyncio.FIRST_COMPLETED)
            return ended.result() if ended.done() else None
        finally:
            ended.cancel()
            stopped.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, object]) -> None:
        task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            stopped.cancel()


def _failure(status: int | None) -> Failure:
    if status is None:
        return Failure(TrainerStuck.code, "the job ran longer than it may and did not stop", retryable=False)
    if status < 0:
        return Failure("worker_killed", "the job was killed, perhaps for want of memory", retryable=True)
    return Failure("worker_killed", f"the job ended with status {status}", retryable=True)


def run_worker(settings: Settings, command: Sequence[str] = JOB) -> int:
    """Work until a signal comes; 0 then. With no REDIS_URL, attaches to the embedded server or starts it.

    Comes back by itself when Redis does. Raises `EmbeddedRedisUnavailable`.
    """
    configure_logging()
    forbid_core_dumps()
    # Read when the job imports torch: threads that spin while they wait take the engine's cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    asyncio.run(_run(settings, command))
    return 0


async def _run(settings: Settings, command: Sequence[str]) -> None:
    server = redis_server(settings)
    loop = asyncio.get_running_loop()
    try:
        async with connected(server.url) as redis:
            store = RequestStore(redis, patience_s=_PATIENCE_S, compact=is_embedded(settings))
            worker = Worker(JobQueue(redis, store, settings), Verifications(redis), store, settings, command)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, worker.stop)
            log.info("worker started pid=%d", os.getpid())
            await worker.run(server)
    finally:
        await asyncio.to_thread(server.stop)
    log.info("worker stopped pid=%d", os.getpid())

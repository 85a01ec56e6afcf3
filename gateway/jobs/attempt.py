"""One attempt at a request: begun once, fenced by its number, and always ended in a state with a reason."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.errors import NotFound, StateConflict, StoreUnavailable
from gateway.jobs.failures import Failure, JobFailed, describe
from gateway.jobs.phases import Phases
from gateway.settings import Settings
from gateway.store.records import PENDING, WORKING, RequestRecord, RequestState
from gateway.store.requests import RequestStore

log = logging.getLogger(__name__)

POLL_S = 1.0
#: A work-horse without its worker is ended by nobody else, and would keep its memory.
ORPHAN_GRACE_S = 15.0


class Attempt:
    """From training to ready, as a context. Raises `StateConflict` on entry when the request is not waiting.

    Inside, every write carries the attempt's number, so that a work-horse that was given up while it still
    ran cannot write over its successor. `cancelled` is set when the request was retired, when another
    attempt took over, or when the worker that watches over this process died.
    """

    def __init__(self, store: RequestStore, record: RequestRecord, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._parent = os.getppid()
        self._watcher: asyncio.Task[None] | None = None
        self.record = record
        self.phases = Phases(record.phases)
        self.cancelled = threading.Event()

    @property
    def number(self) -> int:
        return self.record.attempts

    async def __aenter__(self) -> Self:
        changes = {"attempts": self.record.attempts + 1, "progress": None, "error": None}
        self.record = await self._store.transition(
            self.record.id, expected={RequestState.QUEUED}, to=RequestState.TRAINING, changes=changes
        )
        self._watcher = asyncio.create_task(self._watch())
        log.info("training started id=%s attempt=%d", self.record.id, self.number)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # A trainer that was left behind by a timeout or an error stops at its next step.
        self.cancelled.set()
        if self._watcher is not None:
            self._watcher.cancel()
        if error is None:
            return False
        failure = describe(error)
        try:
            again = await self._end(failure)
        except StoreUnavailable:
            again = True  # nothing is decided while Redis is away; the next attempt or reconcile goes on from here
        except (StateConflict, NotFound):
            log.info("attempt superseded id=%s attempt=%d", self.record.id, self.number)
            return True
        log.warning(
            "attempt failed id=%s attempt=%d code=%s error=%s at=%s again=%s",
            self.record.id,
            self.number,
            failure.code,
            type(error).__name__,
            _place(trace),
            again,
        )
        if again:
            raise JobFailed(failure.code) from None
        return True

    async def advance(self, to: RequestState, **changes: object) -> RequestRecord:
        """The next state of this attempt. Raises `StateConflict` when it is not the current one any more."""
        changes = {"phases": self.phases.seconds(), **changes}
        self.record = await self._store.transition(
            self.record.id, expected={self.record.state}, to=to, changes=changes, attempt=self.number
        )
        log.info("request advanced id=%s state=%s", self.record.id, to)
        return self.record

    async def is_retired(self) -> bool:
        """Whether the request is retired by now."""
        return (await self._store.get(self.record.id)).state is RequestState.RETIRED

    async def _end(self, failure: Failure) -> bool:
        """Queue the request again, or fail it; True when RQ is to repeat the job."""
        self.phases.end()
        again = failure.retryable and self.record.tries <= self._settings.job_retries
        await self._store.transition(
            self.record.id,
            expected=WORKING,
            to=RequestState.QUEUED if again else RequestState.FAILED,
            changes={"error": failure.to_dict(), "phases": self.phases.seconds()},
            attempt=self.number,
        )
        return again

    async def _watch(self) -> None:
        while os.getppid() == self._parent and await self._is_current():
            await asyncio.sleep(POLL_S)
        self.cancelled.set()
        if os.getppid() != self._parent:
            await asyncio.sleep(ORPHAN_GRACE_S)
            log.error("orphaned work-horse does not stop, exiting id=%s", self.record.id)
            os._exit(1)

    async def _is_current(self) -> bool:
        try:
            record = await self._store.get(self.record.id)
        except StoreUnavailable:
            return True  # training goes on without Redis; the fence holds when it is back
        except NotFound:
            return False
        return record.state in WORKING and record.attempts == self.number


def _place(trace: TracebackType | None) -> str:
    """Where it happened, innermost last; unlike the traceback's text, this quotes no values."""
    frames = traceback.extract_tb(trace)[-3:]
    return ">".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)


async def take(store: RequestStore, request_id: str, settings: Settings) -> RequestRecord | None:
    """The request, queued for an attempt or waiting for its activation; None when nothing is to be done.

    A request that a killed attempt left in training or evaluating is queued again first, or fails when
    its attempts are used up.
    """
    try:
        record = await store.get(request_id)
        if record.state in PENDING and is_exhausted(record, settings):
            record = await give_up(store, record)
        if record.state in WORKING or record.state is RequestState.REGISTERED:
            record = await store.transition(
                request_id, expected={record.state}, to=RequestState.QUEUED, attempt=record.attempts
            )
    except NotFound:
        log.warning("no such request id=%s", request_id)
        return None
    return record if record.unfinished else None


def is_exhausted(record: RequestRecord, settings: Settings) -> bool:
    """Whether the first attempt and all its repetitions have been used."""
    return record.tries > settings.job_retries


async def give_up(store: RequestStore, record: RequestRecord) -> RequestRecord:
    """Fail a request that is not tried again, with the error of its last attempt where that left one.

    Raises `StateConflict` when somebody moved it meanwhile.
    """
    error = record.error or {"code": "worker_killed", "message": "the worker was killed"}
    tries = f"; given up after {record.attempts} attempts" if record.attempts else ""
    log.error("request failed id=%s code=%s attempts=%d", record.id, error["code"], record.attempts)
    return await store.fail(
        record.id,
        code=str(error["code"]),
        message=f"{error['message']}{tries}",
        retryable=True,
        expected={record.state},
        attempt=record.attempts,
    )

"""One attempt at a request: fenced by its number, and always ended in a state with a reason."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.errors import NotFound, StateConflict, StoreUnavailable
from gateway.jobs.failures import Failure, TrainerStuck, describe
from gateway.jobs.phases import Phases
from gateway.settings import Settings
from gateway.store.records import EMPTY, WORKING, RequestRecord, RequestState
from gateway.store.requests import RequestStore

log = logging.getLogger(__name__)

POLL_S = 1.0
#: A job without its worker is ended by nobody else, and would keep its memory.
ORPHAN_GRACE_S = 15.0
LOST = Failure("worker_killed", "the worker was killed", retryable=True)


class Attempt:
    """The current attempt at a request in training, as a context.

    Inside, every write carries the attempt's number, so that a job that was given up while it still ran cannot
    write over its successor. `cancelled` is set when the request was retired, when another attempt took over, or when
    the worker that watches over this process died. Raises `StoreUnavailable` at the end, where that cannot be
    written; the worker ends the attempt then.
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
        if not isinstance(error, Exception):
            return False
        self.phases.end()
        failure = describe(error)
        log.warning(
            "attempt failed id=%s attempt=%d code=%s error=%s at=%s",
            self.record.id,
            self.number,
            failure.code,
            type(error).__name__,
            _place(trace),
        )
        await end_attempt(self._store, self.record, failure, self._settings, phases=self.phases.seconds())
        return True

    async def advance(self, to: RequestState, **changes: object) -> RequestRecord:
        """The next state of this attempt. Raises `StateConflict` when it is not the current one any more."""
        changes = {"phases": self.phases.seconds(), **changes}
        self.record = await self._store.transition(
            self.record.id, expected={self.record.state}, to=to, changes=changes, attempt=self.number
        )
        log.info("request advanced id=%s state=%s", self.record.id, to)
        return self.record

    async def is_over(self) -> bool:
        """Whether nothing of what the request learned is kept by now."""
        return (await self._store.get(self.record.id)).state in EMPTY

    async def _watch(self) -> None:
        while os.getppid() == self._parent and await self._is_current():
            await asyncio.sleep(POLL_S)
        self.cancelled.set()
        if os.getppid() != self._parent:
            await asyncio.sleep(ORPHAN_GRACE_S)
            log.error("orphaned job does not stop, exiting id=%s", self.record.id)
            os._exit(1)

    async def _is_current(self) -> bool:
        try:
            record = await self._store.get(self.record.id)
        except StoreUnavailable:
            return True  # training goes on without Redis; the fence holds when it is back
        except NotFound:
            return False
        return is_current(record, self.number)


def is_current(record: RequestRecord, attempt: int) -> bool:
    """Whether the request is being worked on, in this attempt."""
    return record.state in WORKING and record.attempts == attempt


async def end_attempt(
    store: RequestStore, record: RequestRecord, failure: Failure, settings: Settings, **changes: Any
) -> None:
    """Queue the request again, or fail it with the reason. One that has moved on since is left alone.

    What a repetition does not mend costs a request with several candidates only the one that was tried, unless it
    is the request's own fault: another may still be tried, or kept.
    """
    error = failure.to_dict()
    again = failure.retryable and record.tries <= settings.job_retries
    if not again and (failure.retryable or failure.code == TrainerStuck.code):
        selection = _without_this_candidate(record, error)
        again = selection is not None
        changes |= {"selection": selection} if again else {}
    if not again and failure.retryable:
        error["message"] = f"{error['message']}; given up after {record.attempts} attempts"
    to = RequestState.QUEUED if again else RequestState.FAILED
    changes["error"] = error
    try:
        await store.transition(record.id, expected=WORKING, to=to, changes=changes, attempt=record.attempts)
    except (StateConflict, NotFound):
        log.info("attempt superseded id=%s attempt=%d", record.id, record.attempts)
    else:
        log.warning("attempt ended id=%s attempt=%d code=%s state=%s", record.id, record.attempts, failure.code, to)


async def give_back(store: RequestStore, record: RequestRecord) -> None:
    """Queue the request again as if this attempt had not been made."""
    changes = {"attempts": record.attempts - 1}
    try:
        await store.transition(
            record.id, expected=WORKING, to=RequestState.QUEUED, changes=changes, attempt=record.attempts
        )
    except (StateConflict, NotFound):
        return  # it was retired or finished just now


def _without_this_candidate(record: RequestRecord, error: dict[str, object]) -> dict[str, Any] | None:
    """The record's selection with the current candidate noted as failed; None where nothing is left then."""
    if record.selection is None:
        return None
    trials, candidates = record.selection["trials"], record.candidates
    if len(trials) < len(candidates):
        candidate, tried = candidates[len(trials)], {trial["digest"] for trial in trials}
        digest = None if record.digest in tried else record.digest
        noted = {"method": candidate.method, "config": dict(candidate.config), "digest": digest, "error": error}
        trials = [*trials, noted]
        if len(trials) < len(candidates) or any(trial.get("evidence") for trial in trials):
            return {**record.selection, "trials": trials}
    return None


def _place(trace: TracebackType | None) -> str:
    """Where it happened, innermost last; unlike the traceback's text, this quotes no values."""
    frames = traceback.extract_tb(trace)[-3:]
    return ">".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)

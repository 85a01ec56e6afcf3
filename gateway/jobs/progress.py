"""Carries a trainer's reports from its thread to Redis, at twice a second, and always the last one of each phase."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from adapters.progress import Progress
from gateway.errors import StoreUnavailable
from gateway.store.requests import RequestStore

INTERVAL_S = 0.5


class ProgressWriter:
    """`report` is called from the training thread and never waits; `running` writes while its block runs."""

    def __init__(self, store: RequestStore, request_id: str, attempt: int) -> None:
        self._store = store
        self._request_id = request_id
        self._attempt = attempt
        self._lock = threading.Lock()
        self._waiting: list[Progress] = []

    def report(self, progress: Progress) -> None:
        with self._lock:
            if self._waiting and self._waiting[-1].phase == progress.phase:
                self._waiting.pop()
            self._waiting.append(progress)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        # Told to end, and not cancelled: a cancellation in the middle of a write may be lost in the Redis client, and
        # whoever waits for the end of the task would wait for ever.
        over = asyncio.Event()
        task = asyncio.create_task(self._run(over))
        try:
            yield
        finally:
            over.set()
            await task
            await self._write()

    async def _run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL_S):
                    await over.wait()
            await self._write()

    async def _write(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        # A lost report is no reason to stop training.
        with suppress(StoreUnavailable):
            for progress in waiting:
                await self._store.update_progress(self._request_id, to_json(progress), attempt=self._attempt)


def to_json(progress: Progress) -> dict[str, Any]:
    """The report as JSON, where a loss that is not finite is null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: finite(inner) for name, inner in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    data: dict[str, Any] = finite(dataclasses.asdict(progress))
    return data

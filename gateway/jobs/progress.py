"""Carries a trainer's reports from its thread to Redis, at most two a second and always the last one."""

from __future__ import annotations

import asyncio
import dataclasses
import math
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
        self._latest: Progress | None = None

    def report(self, progress: Progress) -> None:
        self._latest = progress

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._write()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self._write()

    async def _write(self) -> None:
        progress, self._latest = self._latest, None
        if progress is None:
            return
        # A lost report is no reason to stop training.
        with suppress(StoreUnavailable):
            await self._store.update_progress(self._request_id, to_json(progress), attempt=self._attempt)


def to_json(progress: Progress) -> dict[str, Any]:
    """The report as JSON, where a loss that is not finite is null."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: finite(inner) for name, inner in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    data: dict[str, Any] = finite(dataclasses.asdict(progress))
    return data

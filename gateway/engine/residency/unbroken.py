"""Work on the engine that goes to its end whoever stops waiting for it.

A caller who leaves in the middle of a stream has every wait of its request cancelled, also those of cleaning up behind
it. Half of a change would leave the books without what is still in the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Unbroken:
    """Keeps what it runs until that has ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], undo: Callable[[T], object] | None = None) -> T:
        """The result of `work`, which is not cancelled with the caller; `undo` gets the result that nobody takes."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: _dropped(done, undo))
            raise


def _dropped(task: asyncio.Task[T], undo: Callable[[T], object] | None) -> None:
    if not task.cancelled() and task.exception() is None and undo is not None:
        undo(task.result())

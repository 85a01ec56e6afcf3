"""The same done for many requests, some of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

#: As many wait for the log together: it signs what came until then in one step.
_AT_ONCE = 64


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do it for each. Where it fails for some it is still done for the others; then the first error is raised."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> None:
        async with room:
            await work(item)

    outcomes = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome

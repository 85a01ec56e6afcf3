"""The same done for many requests, some of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

#: What waits for the log waits together: it signs all that came until then in one step.
AT_ONCE = 64


async def for_each(items: Sequence[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do it for each, `AT_ONCE` together. Raises the first error of those, and begins no more."""
    for start in range(0, len(items), AT_ONCE):
        some = items[start : start + AT_ONCE]
        for outcome in await asyncio.gather(*map(work, some), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

"""Asking over HTTP where the other side may be starting, busy or away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import httpx

log = logging.getLogger(__name__)

T = TypeVar("T")

_BUSY = frozenset({408, 429, 500, 502, 503, 504})


class Unanswered(Exception):
    """Busy or away for longer than was waited. `problem` is the last one met: a status, or the name of an error."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


async def request(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    who: str,
    patience_s: float,
    longest_pause_s: float,
    **options: Any,
) -> httpx.Response:
    """The response, a success or an error that waiting does not mend; asked for again up to `patience_s` otherwise.

    who: the other side, for the log. Raises `Unanswered`.
    """
    deadline = time.monotonic() + patience_s
    pause = 0.25
    while True:
        try:
            response = await http.request(method, path, **options)
        except httpx.TransportError as error:
            problem = type(error).__name__
        else:
            if response.status_code not in _BUSY:
                return response
            problem = f"status {response.status_code}"
        if time.monotonic() + pause > deadline:
            raise Unanswered(problem)
        log.info("%s busy path=%s problem=%s retry_in_s=%.1f", who, path, problem, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest_pause_s)


async def gather(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results, in order. One that fails ends the others: none runs on into a client that is being closed."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

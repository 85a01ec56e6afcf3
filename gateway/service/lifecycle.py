"""Where the service is in its life, for probes, for the middleware and for draining."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum


class Phase(StrEnum):
    """loading → checking → serving → draining."""

    LOADING = "loading"
    CHECKING = "checking"
    SERVING = "serving"
    DRAINING = "draining"


class Lifecycle:
    """The phase, and the number of model requests in flight."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self.detail = "starting"
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Model requests being served."""
        return self._in_flight

    @contextmanager
    def request(self) -> Iterator[None]:
        """Counts one model request, streaming included."""
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if self._in_flight == 0:
                self._idle.set()

    async def drain(self, timeout_s: float) -> bool:
        """Stop taking requests and wait for those in flight; False when the time ran out."""
        self.phase = Phase.DRAINING
        self.detail = "draining"
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

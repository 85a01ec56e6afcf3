"""Work beside serving: what fails in it is logged, counted and tried again, and never ends the service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, wait_exponential

from gateway.errors import GatewayError
from gateway.service.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.5
#: Short: whatever was away, a policy that is fresh again is served again.
_LONGEST_PAUSE_S = 5.0


async def supervise(
    name: str, work: Callable[[], Awaitable[object]], metrics: GatewayMetrics, *, every_s: float | None = None
) -> None:
    """Do `work` until it ends without an error; with `every_s`, so long after each end, until cancelled."""

    def note(state: RetryCallState) -> None:
        error = None if state.outcome is None else state.outcome.exception()
        expected = isinstance(error, GatewayError)
        metrics.housekeeping_failures.labels(name).inc()
        logger.log(
            logging.WARNING if expected else logging.ERROR,
            "housekeeping failed task=%s again_in_s=%.1f: %s",
            name,
            state.upcoming_sleep,
            error if expected else type(error).__name__,
            exc_info=None if expected else error,
        )

    wait = wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S)
    while True:
        async for attempt in AsyncRetrying(wait=wait, before_sleep=note):
            with attempt:
                await work()
        if every_s is None:
            return
        await asyncio.sleep(every_s)

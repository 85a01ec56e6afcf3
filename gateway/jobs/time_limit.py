"""How long one part of a job may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.jobs.failures import JobTimedOut
from gateway.settings import Settings


@asynccontextmanager
async def time_limit(settings: Settings, since: float | None = None) -> AsyncIterator[None]:
    """Raises `JobTimedOut` when the block is not done `job_timeout_s` after `since`, a monotonic time; unset: now."""
    seconds = settings.job_timeout_s
    left = seconds if since is None else since + seconds - time.monotonic()
    try:
        async with asyncio.timeout(left) as deadline:
            yield
    except TimeoutError as error:
        if deadline.expired():
            raise JobTimedOut(f"the job ran longer than {seconds} s (UNLEARN_JOB_TIMEOUT_S)") from error
        raise

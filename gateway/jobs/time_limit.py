"""How long one part of a job may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.jobs.failures import JobTimedOut
from gateway.settings import Settings


@asynccontextmanager
async def time_limit(settings: Settings) -> AsyncIterator[None]:
    """Raises `JobTimedOut` when the block takes longer than `job_timeout_s`."""
    seconds = settings.job_timeout_s
    try:
        async with asyncio.timeout(seconds) as deadline:
            yield
    except TimeoutError as error:
        if deadline.expired():
            raise JobTimedOut(f"the job ran longer than {seconds} s (UNLEARN_JOB_TIMEOUT_S)") from error
        raise

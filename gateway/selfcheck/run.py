"""Runs the checks one after another, one run at a time, and remembers the last one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from adapters.errors import AdapterError
from gateway.errors import GatewayError
from gateway.selfcheck.outcome import Outcome, Report, Status

logger = logging.getLogger(__name__)

#: One check, before it counts as failed: the first one may wait for a kernel that is compiled.
LONGEST_S = 120.0


@dataclass(frozen=True, slots=True)
class Check:
    """Something to run. name: what it is called where it ends without an outcome of its own."""

    name: str
    run: Callable[[], Awaitable[Sequence[Outcome]]]


class SelfCheck:
    """All checks of a service. `last`: the newest report, None before the first."""

    def __init__(self, checks: Sequence[Check], *, longest_s: float = LONGEST_S) -> None:
        self._checks = tuple(checks)
        self._longest_s = longest_s
        self._lock = asyncio.Lock()
        self.last: Report | None = None

    async def run(self) -> Report:
        """Every check; whoever asks while one runs gets a run of their own afterwards."""
        async with self._lock:
            at, started = time.time(), time.monotonic()
            outcomes = [outcome for check in self._checks for outcome in await self._outcomes(check)]
            self.last = Report(tuple(outcomes), at, round(time.monotonic() - started, 2))
        for failure in self.last.failures:
            logger.error("self-check failed check=%r found=%r advice=%r", failure.check, failure.found, failure.advice)
        logger.info("self-check %s seconds=%.1f", "passed" if self.last.passed else "failed", self.last.seconds)
        return self.last

    async def _outcomes(self, check: Check) -> Sequence[Outcome]:
        try:
            async with asyncio.timeout(self._longest_s):
                return await check.run()
        except (GatewayError, AdapterError) as error:
            return [Outcome(check.name, Status.FAIL, str(error))]
        except TimeoutError:
            return [Outcome(check.name, Status.FAIL, f"no result within {self._longest_s:g} s")]

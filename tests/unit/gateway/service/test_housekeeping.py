"""Work beside serving outlives whatever fails in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import BusyLoadingError, MasterDownError, ResponseError

from gateway.errors import StoreUnavailable
from gateway.service import housekeeping
from gateway.service.housekeeping import supervise
from gateway.service.metrics import GatewayMetrics


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_FIRST_PAUSE_S", 0.0)


class Work:
    """Fails as prepared, then ends well."""

    def __init__(self, *errors: Exception) -> None:
        self.errors: Iterator[Exception] = iter(errors)
        self.ended = 0
        self.twice = asyncio.Event()

    async def __call__(self) -> None:
        for error in self.errors:
            raise error
        self.ended += 1
        if self.ended == 2:
            self.twice.set()


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ResponseError("BUSY Redis is busy running a script"),
        BusyLoadingError("Redis is loading the dataset in memory"),
        MasterDownError("Link with MASTER is down"),
        StoreUnavailable("Redis cannot be reached"),
        KeyError("a mistake of ours"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_fails_is_logged_counted_and_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    work = Work(error, error)
    await asyncio.wait_for(supervise("sweep", work, GatewayMetrics(registry)), 10)
    assert work.ended == 1
    assert registry.get_sample_value("unlearning_housekeeping_failures_total", {"task": "sweep"}) == 2
    lines = [record for record in caplog.records if "task=sweep" in record.getMessage()]
    assert [line.levelno for line in lines] == [logging.WARNING if "Redis c" in str(error) else logging.ERROR] * 2


async def test_periodic_work_is_done_again_until_cancelled() -> None:
    work = Work()
    task = asyncio.create_task(supervise("sweep", work, GatewayMetrics(CollectorRegistry()), every_s=0.0))
    await asyncio.wait_for(work.twice.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

from __future__ import annotations

import asyncio

import pytest

from adapters.progress import Progress
from gateway.jobs import progress as progress_module
from gateway.jobs.progress import ProgressWriter, to_json
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import stored


async def test_many_reports_few_writes_and_the_last_one(store: RequestStore) -> None:
    record = await stored(store, RequestState.TRAINING)
    writer = ProgressWriter(store, record.id, 0)

    def train() -> None:
        for step in range(1, 5001):
            writer.report(Progress("training", step, 5000, loss=1.0))

    async with writer.running():
        await asyncio.to_thread(train)
    progress = (await store.get(record.id)).progress
    assert progress is not None
    assert progress["step"] == 5000
    await store.retire(record.id)
    events = [event async for event in store.events(record.id) if event.type == "progress"]
    assert len(events) <= 3


async def test_the_last_report_of_each_phase_is_written(store: RequestStore) -> None:
    record = await stored(store, RequestState.TRAINING)
    writer = ProgressWriter(store, record.id, 0)
    reports = [("attacking", 1), ("attacking", 9), ("caching", 0), ("training", 3), ("attacking", 2), ("attacking", 4)]
    async with writer.running():
        for phase, step in reports:
            writer.report(Progress(phase, step, 9))
    await store.retire(record.id)
    written = [(e.data["phase"], e.data["step"]) async for e in store.events(record.id) if e.type == "progress"]
    assert written == [("attacking", 9), ("caching", 0), ("training", 3), ("attacking", 4)]


async def test_it_is_written_while_it_goes(store: RequestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "INTERVAL_S", 0.01)
    record = await stored(store, RequestState.TRAINING)
    writer = ProgressWriter(store, record.id, 0)
    async with writer.running(), asyncio.timeout(10):
        writer.report(Progress("training", 1, 2))
        while (await store.get(record.id)).progress is None:
            await asyncio.sleep(0.01)


async def test_an_old_attempt_reports_to_nobody(store: RequestStore) -> None:
    record = await stored(store, RequestState.TRAINING)
    writer = ProgressWriter(store, record.id, 7)
    async with writer.running():
        writer.report(Progress("training", 1, 2))
    assert (await store.get(record.id)).progress is None


def test_losses_that_are_not_finite_are_null() -> None:
    data = to_json(Progress("t", 1, 2, loss=float("nan"), metrics={"kl": float("inf"), "ce": 0.5}))
    assert data["loss"] is None
    assert data["metrics"] == {"kl": None, "ce": 0.5}


async def test_it_ends_in_the_middle_of_a_write_whatever_becomes_of_a_cancellation(
    store: RequestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Redis client may lose one, and a writer that waits for it would keep the job for ever."""
    monkeypatch.setattr(progress_module, "INTERVAL_S", 0.01)
    record = await stored(store, RequestState.TRAINING)
    writing = asyncio.Event()

    async def slowly(*_: object, **__: object) -> bool:
        writing.set()
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            return True
        return True

    monkeypatch.setattr(store, "update_progress", slowly)
    writer = ProgressWriter(store, record.id, 0)
    async with asyncio.timeout(10) as deadline, writer.running():
        writer.report(Progress("training", 1, 2))
        await writing.wait()
    assert not deadline.expired()

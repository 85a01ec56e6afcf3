from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from redis.asyncio import Redis

from gateway.errors import InvalidRequest, NotFound
from gateway.store import events as events_module
from gateway.store.events import Event
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import PATH, stored


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis)


async def collect(store: RequestStore, request_id: str, after: str = "0") -> list[Event]:
    async with asyncio.timeout(10):
        return [event async for event in store.events(request_id, after)]


def states(events: list[Event]) -> list[str]:
    return [event.data["state"] for event in events if event.type == "state"]


async def test_replay_of_a_finished_request(store: RequestStore) -> None:
    record = await stored(store, RequestState.ACTIVE)
    events = await collect(store, record.id)
    assert states(events) == list(PATH)
    assert [event.data.get("previous") for event in events] == [None, *PATH[:-1]]


async def test_replay_goes_on_after_the_last_event_seen(store: RequestStore) -> None:
    record = await stored(store, RequestState.READY)
    events = await collect(store, record.id)
    assert await collect(store, record.id, events[2].id) == events[3:]
    assert await collect(store, record.id, events[-1].id) == []


async def test_following_ends_when_nothing_more_happens_by_itself(store: RequestStore) -> None:
    record = await stored(store, RequestState.TRAINING, activation="auto")
    following = asyncio.create_task(collect(store, record.id))
    await store.update_progress(record.id, {"step": 1, "loss": 0.5})
    for before, after in pairwise(PATH[2:]):
        await store.transition(record.id, expected={before}, to=after)
    events = await following
    assert states(events) == list(PATH), "ready is not the end where activation follows"
    assert [event.data for event in events if event.type == "progress"] == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.REJECTED, RequestState.RETIRED])
async def test_it_ends_at(store: RequestStore, state: RequestState) -> None:
    record = await stored(store, state)
    assert states(await collect(store, record.id))[-1] == state


async def test_it_ends_when_activation_was_refused(store: RequestStore) -> None:
    record = await stored(store, RequestState.READY, activation="auto")
    following = asyncio.create_task(collect(store, record.id))
    await store.refuse_activation(record.id, {"code": "full", "message": "m", "retryable": True})
    events = await following
    assert states(events)[-2:] == ["ready", "ready"]
    assert events[-1].data["error"]["code"] == "full"


async def test_it_ends_at_ready_when_that_was_asked_for(store: RequestStore) -> None:
    record = await stored(store, RequestState.ACTIVE, activation="auto")
    await store.transition(record.id, expected={RequestState.ACTIVE}, to=RequestState.READY)
    assert states(await collect(store, record.id))[-2:] == ["active", "ready"]


async def test_a_heartbeat_in_quiet_times(store: RequestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "BLOCK_MS", 20)
    record = await stored(store, RequestState.QUEUED)
    async with asyncio.timeout(10):
        async for event in store.events(record.id, heartbeat=True):
            if event.type == "ping":
                break
    assert event.data == {}


@pytest.mark.parametrize("after", ["$", "", "x", "1-", "1-2-3", ">"])
async def test_foreign_event_ids_are_refused(store: RequestStore, after: str) -> None:
    record = await stored(store)
    with pytest.raises(InvalidRequest):
        await collect(store, record.id, after)


async def test_no_events_of_nothing(store: RequestStore) -> None:
    with pytest.raises(NotFound):
        await collect(store, "req_none")


async def test_the_stream_is_bounded(store: RequestStore, redis: Redis) -> None:
    record = await stored(store, RequestState.TRAINING)
    for start in range(0, 1500, 100):
        steps = range(start, start + 100)
        await asyncio.gather(*(store.update_progress(record.id, {"step": i}) for i in steps))
    assert await redis.xlen(f"events:{record.id}") < 1200

"""Notes in the records of two active requests: written in the instant of an activation, gone with either of them."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.errors import StateConflict
from gateway.store.notes import Note
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import stored

ACTIVE, READY, RETIRED = RequestState.ACTIVE, RequestState.READY, RequestState.RETIRED


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis)


def note(own: RequestRecord, other: RequestRecord, *, lost: bool = False) -> Note:
    def entry(beside: RequestRecord) -> dict[str, Any]:
        return {"with": beside.id, "tenant": beside.tenant, "message": f"beside {beside.id}", "own": None}

    return Note(other.id, entry(other), entry(own), lost)


async def activate(store: RequestStore, record: RequestRecord, *notes: Note) -> RequestRecord:
    return await store.transition(record.id, expected={READY}, to=ACTIVE, notes=notes)


async def beside(store: RequestStore, record: RequestRecord) -> list[str]:
    """Whom its record has notes about."""
    return [each["with"] for each in (await store.get(record.id)).interference]


async def events(store: RequestStore, record: RequestRecord) -> list[dict[str, Any]]:
    return [event.data async for event in store.events(record.id)]


async def test_both_records_have_it_from_the_activation_on(store: RequestStore) -> None:
    old, new = await stored(store, ACTIVE), await stored(store, READY)
    active = await activate(store, new, note(new, old))
    assert active == await store.get(new.id)
    assert [each["with"] for each in active.interference] == [old.id]
    (theirs,) = (await store.get(old.id)).interference
    entry = {"with": new.id, "tenant": "default", "message": f"beside {new.id}", "own": None}
    assert theirs == {**entry, "at": active.updated_at}
    listed = {record.id: record for record in (await store.list()).items}
    assert listed[old.id].interference == [theirs]
    policy = await store.policy()
    assert policy is not None
    assert policy.records == ((await store.get(old.id)), active)


@pytest.mark.parametrize("state", [READY, RETIRED, RequestState.DRAFTED, RequestState.FAILED])
async def test_one_that_is_not_active_in_that_instant_is_not_met(store: RequestStore, state: RequestState) -> None:
    other, new = await stored(store, state), await stored(store, READY)
    active = await activate(store, new, note(new, other, lost=True))
    assert active.interference == []
    assert await beside(store, other) == []
    assert "interference" not in (await events(store, other))[-1]


async def test_an_activation_that_does_not_happen_leaves_none(store: RequestStore) -> None:
    old, new = await stored(store, ACTIVE), await stored(store, RequestState.QUEUED)
    with pytest.raises(StateConflict):
        await activate(store, new, note(new, old))
    assert await beside(store, old) == []


@pytest.mark.parametrize("to", [READY, RETIRED])
@pytest.mark.parametrize("who", ["old", "new"])
async def test_it_goes_with_either(store: RequestStore, to: RequestState, who: str, redis: Redis) -> None:
    old, third, new = await stored(store, ACTIVE), await stored(store, ACTIVE), await stored(store, READY)
    await activate(store, new, note(new, old), note(new, third))
    left = {"old": old, "new": new}[who]
    await store.transition(left.id, expected={ACTIVE}, to=to)
    assert await beside(store, left) == []
    assert await beside(store, new) == ([third.id] if who == "old" else [])
    assert await beside(store, third) == ([new.id] if who == "old" else [])
    assert len([key async for key in redis.scan_iter("beside:*")]) == (2 if who == "old" else 0)


async def test_it_is_written_anew_when_it_is_activated_again(store: RequestStore) -> None:
    old, new = await stored(store, ACTIVE), await stored(store, READY)
    await activate(store, new, note(new, old))
    await store.transition(new.id, expected={ACTIVE}, to=READY)
    await activate(store, new, note(new, old))
    assert (await beside(store, new), await beside(store, old)) == ([old.id], [new.id])


async def test_a_loss_is_told_to_the_followers_of_both(store: RequestStore) -> None:
    old, kept, new = await stored(store, ACTIVE), await stored(store, ACTIVE), await stored(store, READY)
    await activate(store, new, note(new, old, lost=True), note(new, kept))
    told = (await events(store, old))[-1]
    assert (told["state"], told["error"], told["interference"]) == ("active", None, [f"beside {new.id}"])
    assert (await events(store, new))[-1]["interference"] == [f"beside {old.id}"]
    assert "interference" not in (await events(store, kept))[-1]


async def test_who_follows_everybodys_is_not_told_of_a_tenants(store: RequestStore) -> None:
    everybodys, own, new = [
        await stored(store, state, tenant=tenant)
        for state, tenant in ((ACTIVE, "default"), (ACTIVE, "acme"), (READY, "acme"))
    ]
    await activate(store, new, note(new, everybodys, lost=True), note(new, own, lost=True))
    assert await beside(store, everybodys) == [new.id]
    assert "interference" not in (await events(store, everybodys))[-1]
    assert (await events(store, own))[-1]["interference"] == [f"beside {new.id}"]
    assert len((await events(store, new))[-1]["interference"]) == 2


async def test_of_many_about_one_request_its_record_has_the_first_and_every_loss(store: RequestStore) -> None:
    popular = await stored(store, ACTIVE)
    for number in range(35):
        new = await stored(store, READY)
        await activate(store, new, note(new, popular, lost=number == 34))
        assert await beside(store, new) == [popular.id]
    found = await beside(store, popular)
    assert len(found) == 33
    assert new.id in found
    await store.transition(popular.id, expected={ACTIVE}, to=RETIRED)
    assert all(record.interference == [] for record in (await store.list(limit=50)).items)

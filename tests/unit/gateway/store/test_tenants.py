"""What the store keeps apart by tenant: listings, and how much may be active together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.artifact.footprint import Footprint
from gateway.access.api_key import GLOBAL_TENANT
from gateway.errors import BudgetExceeded
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import stored

#: Tenant, rows and digest of a request that applies to every prompt.
Wanted = tuple[str, int, str]
ALL, A, B = GLOBAL_TENANT, "acme", "other"


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis)


@pytest.mark.parametrize(
    ("wanted", "active"),
    [
        ([(A, 30, "1"), (B, 30, "2")], [True, True]),
        ([(A, 30, "1"), (A, 30, "2")], [True, False]),
        ([(ALL, 20, "1"), (A, 20, "2"), (B, 20, "3"), (A, 1, "4")], [True, True, True, False]),
        ([(A, 10, "1"), (B, 30, "2"), (ALL, 10, "3"), (ALL, 1, "4")], [True, True, True, False]),
        ([(A, 10, "1"), (B, 30, "2"), (ALL, 20, "3")], [True, True, False]),
        ([(A, 25, "1"), (ALL, 25, "1"), (B, 15, "2")], [True, True, True]),
        ([(A, 25, "1"), (ALL, 25, "1"), (B, 16, "2")], [True, True, False]),
        ([(ALL, 40, "1"), (A, 1, "2"), (A, 0, "3")], [True, False, True]),
        ([(ALL, 41, "1"), (A, 41, "2"), (A, 40, "3")], [False, False, True]),
    ],
    ids=[
        "tenants beside each other",
        "one tenant alone",
        "each tenant beside everybody's",
        "everybody's beside the largest tenant",
        "everybody's that one tenant has no room for",
        "an adapter that everybody and a tenant share",
        "which others do not share",
        "offsets need none",
        "too large for anybody",
    ],
)
async def test_what_is_active_fits_for_every_tenant(
    store: RequestStore, wanted: Sequence[Wanted], active: list[bool]
) -> None:
    assert [await _activate(store, *each) for each in wanted] == active


async def test_tenants_that_activate_at_once_do_not_disturb_each_other(redis: Redis) -> None:
    tenants = [A, A, A, B, B, "third"]
    wanted = [_activate(RequestStore(redis), tenant, 20, str(digit)) for digit, tenant in enumerate(tenants)]
    active = await asyncio.gather(*wanted)
    assert Counter(tenant for tenant, done in zip(tenants, active, strict=True) if done) == {A: 2, B: 2, "third": 1}
    with pytest.raises(BudgetExceeded, match="2 active requests and this one need 41 virtual tokens"):
        await _activate(RequestStore(redis), ALL, 1, "f", refused=False)


async def test_matched_requests_of_a_tenant_take_no_room(store: RequestStore) -> None:
    assert await _activate(store, ALL, 40, "1")
    for digit in "23":
        assert await _activate(store, A, 40, digit, scope={"prompts": "matched"})
    assert not await _activate(store, B, 1, "4")


async def _activate(
    store: RequestStore, tenant: str, rows: int, digit: str, *, refused: bool = True, **fields: Any
) -> bool:
    record = await stored(
        store, RequestState.READY, tenant=tenant, digest=digit * 64, footprint=Footprint(rows), **fields
    )
    try:
        await store.transition(record.id, expected={RequestState.READY}, to=RequestState.ACTIVE, budget=40)
    except BudgetExceeded:
        if not refused:
            raise
        assert (await store.get(record.id)).state is RequestState.READY
        return False
    return True


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_of_a_tenant_have_its_own_requests_and_everybodys(store: RequestStore, limit: int) -> None:
    tenants = [A, B, ALL, B, B, A, ALL, A, B]
    records = [await stored(store, tenant=tenant) for tenant in tenants]
    await stored(store, RequestState.READY, tenant=A)
    for tenant, seen in ((A, {A, ALL}), (B, {B, ALL}), ("third", {ALL}), (ALL, {A, B, ALL})):
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.list(RequestState.REGISTERED, limit, cursor, tenant=tenant)
            found += [record.id for record in page.items]
            assert len(page.items) == limit or page.next_cursor is None
            if (cursor := page.next_cursor) is None:
                break
        assert found == [record.id for record in reversed(records) if record.tenant in seen], tenant

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.evidence.canonical import digest
from gateway.evidence.report.manifest import of_request, scope_digest
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.surroundings import ServedSurroundings
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from tests.unit.gateway.store.samples import stored

SERVED = {"model": digest("model"), "engine": digest("engine")}
ADAPTER = "a" * 64


@pytest.mark.parametrize("entry", [b"", b"names and vectors"])
async def test_it_names_what_a_report_names(redis: Redis, entry: bytes) -> None:
    store, vault = RequestStore(redis), PayloadVault(b"k" * 32)
    record = await stored(store, RequestState.READY, {"digest": ADAPTER})
    if entry:
        await redis.set(f"scope:{record.id}", vault.seal_scope(record.id, entry))
    other = await stored(store, RequestState.READY, {"digest": "b" * 64})
    found = await ServedSurroundings(SERVED, SealedEntries(store, vault), vault).manifests([record, other])
    own = of_request(SERVED, ADAPTER, scope_digest(entry) if entry else None)
    assert found == {record.id: own, other.id: of_request(SERVED, "b" * 64, None)}


async def test_a_scope_that_cannot_be_read_is_as_none(redis: Redis) -> None:
    store = RequestStore(redis)
    record = await stored(store, RequestState.READY, {"digest": ADAPTER})
    await redis.set(f"scope:{record.id}", PayloadVault(b"o" * 32).seal_scope(record.id, b"of another key"))
    vault = PayloadVault(b"k" * 32)
    found = await ServedSurroundings(SERVED, SealedEntries(store, vault), vault).manifests([record])
    assert found == {record.id: of_request(SERVED, ADAPTER, None)}


async def test_what_opens_the_scopes_and_what_is_served_make_another_stamp(redis: Redis) -> None:
    def stamp(served: dict[str, str], key: bytes) -> str:
        vault = PayloadVault(key * 32)
        return ServedSurroundings(served, SealedEntries(RequestStore(redis), vault), vault).stamp

    newer = {**SERVED, "engine": digest("newer")}
    assert stamp(SERVED, b"k") == stamp(dict(reversed(SERVED.items())), b"k")
    assert len({stamp(SERVED, b"k"), stamp(SERVED, b"o"), stamp(newer, b"k"), stamp({}, b"k")}) == 4

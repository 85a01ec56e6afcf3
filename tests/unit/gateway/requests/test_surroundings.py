from __future__ import annotations

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from gateway.evidence.canonical import digest
from gateway.evidence.report.manifest import of_request, scope_digest
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.surroundings import NearByPolicy, ServedSurroundings
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from tests.unit.gateway.store.samples import sample, stored

SERVED = {"model": digest("model"), "engine": digest("engine")}
ADAPTER = "a" * 64


@pytest.mark.parametrize("entry", [b"", b"names and vectors"])
async def test_it_names_what_a_report_names(redis: Redis, entry: bytes) -> None:
    store, vault = RequestStore(redis), PayloadVault(b"k" * 32)
    record = await stored(store, RequestState.READY, {"digest": ADAPTER})
    if entry:
        await redis.set(f"scope:{record.id}", vault.seal_scope(record.id, entry))
    found = await ServedSurroundings(SERVED, SealedEntries(store, vault)).manifest(record)
    assert found == of_request(SERVED, ADAPTER, scope_digest(entry) if entry else None)


async def test_a_scope_that_cannot_be_read_is_as_none(redis: Redis) -> None:
    store = RequestStore(redis)
    record = await stored(store, RequestState.READY, {"digest": ADAPTER})
    await redis.set(f"scope:{record.id}", PayloadVault(b"o" * 32).seal_scope(record.id, b"of another key"))
    found = await ServedSurroundings(SERVED, SealedEntries(store, PayloadVault(b"k" * 32))).manifest(record)
    assert found == of_request(SERVED, ADAPTER, None)


class Policy:
    def __init__(self, *met: RequestRecord) -> None:
        self.met = met

    async def met_by(self, record: RequestRecord) -> Sequence[RequestRecord]:
        return self.met


async def test_near_is_what_the_policy_says_it_meets() -> None:
    one, other, third = sample(), sample(), sample()
    near = NearByPolicy(Policy(other))
    assert await near.near(one, other)
    assert not await near.near(one, third)

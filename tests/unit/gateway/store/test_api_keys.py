"""API keys in a real Redis: versions, generations, and what is never there."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from gateway.access.api_key import ApiKey
from gateway.errors import DataLost, NotFound, TooManyKeys
from gateway.store.api_keys import ApiKeyStore
from tests.unit.gateway.access.samples import sample_key

MONTH_S = 31 * 24 * 3600


@pytest.fixture
def store(redis: Redis) -> ApiKeyStore:
    return ApiKeyStore(redis)


async def test_what_is_kept_is_read_again(store: ApiKeyStore) -> None:
    empty = await store.read()
    assert empty is not None
    assert (empty.generation.number, empty.keys) == (0, ())
    key = sample_key()
    await store.create(key, 10)
    await store.create(key, 10)  # the same call, repeated after a lost reply
    found = await store.read(empty.generation)
    assert found is not None
    assert (found.generation.number, found.keys) == (1, (key,))
    assert await store.read(found.generation) is None
    assert await store.get(key.id) == key
    assert await store.all() == [key]
    with pytest.raises(NotFound):
        await store.get("key_x")


async def test_after_a_generation_what_changed_is_read_as_it_is(store: ApiKeyStore) -> None:
    keys = [sample_key(f"ug-{number}") for number in range(4)]
    seen = await store.read()
    for key in keys:
        await store.create(key, 10)
        seen = await store.read(None if seen is None else seen.generation) or seen
    assert seen is not None
    assert seen.keys == (keys[3],)
    for number, version in ((2, 2), (0, 2), (2, 3)):
        assert await store.replace(replace(keys[number], version=version))
    later = await store.read(seen.generation)
    assert later is not None
    assert [(key.id, key.version) for key in later.keys] == [(keys[0].id, 2), (keys[2].id, 3)]
    everything = await store.read()
    assert everything is not None
    assert {key.id for key in everything.keys} == {key.id for key in keys}


async def test_of_two_changes_at_once_one_is_kept(store: ApiKeyStore) -> None:
    key = sample_key()
    await store.create(key, 10)
    changes = [replace(key, name=name, version=2) for name in ("one", "other")]
    kept = await asyncio.gather(*map(store.replace, changes))
    assert sorted(kept) == [False, True]
    assert await store.get(key.id) == changes[kept.index(True)]
    assert not await store.replace(replace(key, id="key_absent", version=2))
    assert not await store.replace(replace(key, name="late", version=4))


async def test_a_redis_that_lost_its_data_is_told_from_one_that_did_not(store: ApiKeyStore, redis: Redis) -> None:
    await store.create(sample_key(), 10)
    seen = await store.read()
    assert seen is not None
    await redis.flushall()
    with pytest.raises(DataLost):
        await store.read(seen.generation)
    await store.create(sample_key("ug-other"), 10)
    with pytest.raises(DataLost):
        await store.read(seen.generation)


@pytest.mark.parametrize(
    ("ended", "room"),
    [
        ({"revoked_at": time.time() - MONTH_S}, True),
        ({"expires_at": time.time() - MONTH_S}, True),
        ({"revoked_at": time.time()}, False),
        ({"expires_at": time.time() + MONTH_S}, False),
        ({}, False),
    ],
)
async def test_keys_that_ended_long_ago_make_room(store: ApiKeyStore, ended: dict[str, float], room: bool) -> None:
    live, old = sample_key("ug-live"), sample_key("ug-old", **ended)
    for key in (live, old):
        await store.create(key, 2)
    new: ApiKey = sample_key("ug-new")
    if not room:
        with pytest.raises(TooManyKeys, match="2 API keys"):
            await store.create(new, 2)
        return
    await store.create(new, 2)
    assert {key.id for key in await store.all()} == {live.id, new.id}

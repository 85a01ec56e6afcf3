"""Limits of keys in a real Redis: all or nothing, over replicas, by Redis's clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.access.api_key import Limits
from gateway.access.rates import Reached
from gateway.store.rates import RateStore

KEY = "key_a"


@pytest.fixture
def store(redis: Redis) -> RateStore:
    return RateStore(redis)


async def admitted(store: RateStore, limits: Limits, *leases: str) -> list[Reached | None]:
    return [(await store.admit(KEY, limits, lease, 60)).reached for lease in leases]


async def pass_time(redis: Redis, seconds: float) -> None:
    """As if what was counted had been so long ago."""
    at: Any = await redis.hget(f"rate:{KEY}", "at")
    await redis.hset(f"rate:{KEY}", "at", str(float(at) - seconds))
    running: Any = await redis.zrange(f"leases:{KEY}", 0, -1, withscores=True)
    for lease, until in running:
        await redis.zadd(f"leases:{KEY}", {lease: until - seconds})


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        (Limits(requests_per_minute=2), [None, None, Reached.REQUESTS]),
        (Limits(concurrent_requests=1), [None, Reached.CONCURRENT, Reached.CONCURRENT]),
        (Limits(2, None, 1), [None, Reached.CONCURRENT, Reached.CONCURRENT]),
        (Limits(1, None, 2), [None, Reached.REQUESTS, Reached.REQUESTS]),
        (Limits(tokens_per_minute=1), [None, None, None]),
        (Limits(3, 1, 3), [None, None, None]),
    ],
)
async def test_what_is_let_in_before_anything_ends(
    store: RateStore, limits: Limits, reached: list[Reached | None]
) -> None:
    assert await admitted(store, limits, "1", "2", "3") == reached


@pytest.mark.parametrize(
    ("limits", "most"),
    [(Limits(requests_per_minute=7), 7), (Limits(concurrent_requests=5), 5), (Limits(9, None, 20), 9)],
)
async def test_of_many_at_once_on_several_replicas_as_many_get_in_as_may(
    redis: Redis, limits: Limits, most: int
) -> None:
    found = await asyncio.gather(*(RateStore(redis).admit(KEY, limits, str(number), 60) for number in range(40)))
    assert sum(each.reached is None for each in found) == most


async def test_what_one_limit_refuses_is_taken_from_no_other(store: RateStore, redis: Redis) -> None:
    limits = Limits(10, 100, 1)
    await admitted(store, limits, "1")
    refused = await store.admit(KEY, limits, "2", 60)
    assert (refused.reached, round(refused.requests or 0), round(refused.tokens or 0)) == (Reached.CONCURRENT, 9, 100)
    await store.settle(KEY, limits, "1", 150)
    refused = await store.admit(KEY, limits, "2", 60)
    assert (refused.reached, round(refused.requests or 0), round(refused.tokens or 0)) == (Reached.TOKENS, 9, -50)
    assert await redis.zcard(f"leases:{KEY}") == 0


async def test_debt_is_paid_by_waiting(store: RateStore, redis: Redis) -> None:
    limits = Limits(tokens_per_minute=60)
    await admitted(store, limits, "1")
    await store.settle(KEY, limits, "1", 90)
    await pass_time(redis, 29)
    assert await admitted(store, limits, "2") == [Reached.TOKENS]
    await pass_time(redis, 3)
    assert await admitted(store, limits, "3") == [None]
    await pass_time(redis, 3600)
    assert round((await store.admit(KEY, limits, "4", 60)).tokens or 0) == 60, "and never more than a minute's worth"


async def test_a_bucket_fills_evenly(store: RateStore, redis: Redis) -> None:
    limits = Limits(requests_per_minute=6)
    assert await admitted(store, limits, *"123456") == [None] * 6
    await pass_time(redis, 9)
    assert await admitted(store, limits, "7") == [Reached.REQUESTS]
    await pass_time(redis, 2)
    assert await admitted(store, limits, "8", "9") == [None, Reached.REQUESTS]


async def test_a_request_is_charged_once(store: RateStore) -> None:
    limits = Limits(10, 100)
    for _ in range(2):  # a reply was lost
        assert await admitted(store, limits, "1") == [None]
    for _ in range(2):
        await store.settle(KEY, limits, "1", 40)
    found = await store.admit(KEY, limits, "2", 60)
    assert (round(found.requests or 0), round(found.tokens or 0)) == (8, 60)


async def test_the_places_of_a_replica_that_died_are_given_up(store: RateStore, redis: Redis) -> None:
    limits = Limits(concurrent_requests=2)
    assert await admitted(store, limits, "dead", "alive") == [None, None]
    await pass_time(redis, 40)
    await store.renew({"alive": KEY, "ended": KEY, "other": "key_b"}, 60)
    assert await redis.zscore(f"leases:{KEY}", "ended") is None, "what has ended does not come back"
    assert await redis.zcard("leases:key_b") == 0
    await pass_time(redis, 40)
    assert await admitted(store, limits, "new", "more") == [None, Reached.CONCURRENT]
    assert await redis.zrange(f"leases:{KEY}", 0, -1) == [b"alive", b"new"]


async def test_nothing_is_left_of_a_key_that_is_not_used(store: RateStore, redis: Redis) -> None:
    limits = Limits(60, 60)
    await admitted(store, limits, "1")
    await store.settle(KEY, limits, "1", 120)
    assert 100 < await redis.ttl(f"rate:{KEY}") <= 121, "until it is full again"
    await pass_time(redis, 120)
    await admitted(store, limits, "2")
    assert 0 < await redis.ttl(f"leases:{KEY}") <= 60


async def test_keys_have_limits_of_their_own(store: RateStore) -> None:
    limits = Limits(1)
    assert await admitted(store, limits, "1", "2") == [None, Reached.REQUESTS]
    assert (await store.admit("key_b", limits, "3", 60)).reached is None

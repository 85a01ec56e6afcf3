"""The limiter of one replica: what it asks Redis, what it tells the caller, and what it does alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry

from gateway.access.api_key import Limits, Role
from gateway.access.caller import Caller
from gateway.access.rates import LEASE_S, Admitted, RateLimiter, Reached
from gateway.access.usage import Usage
from gateway.errors import RateLimited, StoreUnavailable
from gateway.service.metrics import GatewayMetrics


class Counter:
    """Redis's side: lets everything in while it is there, at the levels that a test lays down."""

    def __init__(self) -> None:
        self.reply = Admitted(None, None, None)
        self.away = self.silent = False
        self.asked = 0
        self.settled: list[tuple[str, int]] = []
        self.renewed: list[Mapping[str, str]] = []

    async def admit(self, key: str, limits: Limits, lease: str, lease_s: int) -> Admitted:
        self.asked += 1
        await self._answer()
        return self.reply

    async def settle(self, key: str, limits: Limits, lease: str, tokens: int) -> None:
        await self._answer()
        self.settled.append((key, tokens))

    async def renew(self, leases: Mapping[str, str], lease_s: int) -> None:
        assert lease_s == LEASE_S
        self.renewed.append(leases)

    async def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("Redis is away")
        if self.silent:
            await asyncio.Event().wait()


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.counter = Counter()
        self.metrics = GatewayMetrics(CollectorRegistry())
        self.limiter = RateLimiter(self.counter, self.metrics, clock=lambda: self.now)

    async def ask(self, limits: Limits, tokens: int = 0) -> Mapping[str, str]:
        """The headers of a request that uses so many tokens."""
        async with self.limiter.admitted(Caller("key_a", Role.CLIENT, "acme", limits)) as admission:
            admission.usage.ask(tokens)
            return admission.headers

    async def refused(self, limits: Limits) -> RateLimited:
        with pytest.raises(RateLimited) as refusal:
            await self.ask(limits)
        return refusal.value


@pytest.fixture
def world() -> World:
    return World()


async def test_a_caller_without_limits_does_not_touch_redis(world: World) -> None:
    assert await world.ask(Limits(), tokens=10) == {}
    await world.limiter.renew()
    assert (world.counter.asked, world.counter.settled, world.counter.renewed) == (0, [], [])


@pytest.mark.parametrize(
    ("limits", "reply", "headers"),
    [
        (
            Limits(60, 6000),
            Admitted(None, 59.0, 3000.9),
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": "3000",
                "x-ratelimit-reset-tokens": "30s",
            },
        ),
        (
            Limits(None, 60),
            Admitted(None, None, -300.0),
            {
                "x-ratelimit-limit-tokens": "60",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
        ),
        (
            Limits(6000),
            Admitted(None, 5998.0, None),
            {
                "x-ratelimit-limit-requests": "6000",
                "x-ratelimit-remaining-requests": "5998",
                "x-ratelimit-reset-requests": "20ms",
            },
        ),
        (Limits(None, None, 5), Admitted(None, None, None), {}),
    ],
)
async def test_what_is_left_is_told_as_openai_tells_it(
    world: World, limits: Limits, reply: Admitted, headers: Mapping[str, str]
) -> None:
    world.counter.reply = reply
    assert await world.ask(limits) == headers


@pytest.mark.parametrize(
    ("limits", "reply", "kind", "wait", "said"),
    [
        (Limits(6), Admitted(Reached.REQUESTS, 0.5, None), "requests", 5, "6 requests a minute"),
        (Limits(600), Admitted(Reached.REQUESTS, 0.9, None), "requests", 1, "600 requests a minute"),
        (Limits(None, 60), Admitted(Reached.TOKENS, None, -59.0), "tokens", 60, "60 tokens a minute"),
        (Limits(None, None, 3), Admitted(Reached.CONCURRENT, None, None), "concurrent", 1, "3 requests at once"),
    ],
)
async def test_a_refusal_says_which_limit_and_how_long(
    world: World, limits: Limits, reply: Admitted, kind: str, wait: int, said: str
) -> None:
    world.counter.reply = reply
    error = await world.refused(limits)
    assert (error.status, error.type, error.code, error.retry_after_s) == (429, kind, "rate_limit_exceeded", wait)
    assert said in error.message
    assert world.counter.settled == [], "what was not let in is not charged"


@pytest.mark.parametrize("error", [None, RuntimeError, asyncio.CancelledError])
async def test_tokens_are_charged_however_the_request_ends(world: World, error: type[BaseException] | None) -> None:
    async def use() -> None:
        async with world.limiter.admitted(Caller("key_a", limits=Limits(None, 100))) as admission:
            admission.usage.ask(30)
            await world.limiter.renew()
            if error is not None:
                raise error

    await asyncio.gather(use(), return_exceptions=True)
    assert world.counter.settled == [("key_a", 30)]
    assert list(world.counter.renewed[0].values()) == ["key_a"]
    await world.limiter.renew()
    assert len(world.counter.renewed) == 1, "what has ended is not renewed"


async def test_while_redis_is_away_a_replica_counts_from_what_it_last_saw(world: World) -> None:
    limits = Limits(60, 600)
    world.counter.reply = Admitted(None, 2.0, 500.0)
    await world.ask(limits, tokens=100)
    world.counter.away = True
    assert (await world.ask(limits))["x-ratelimit-remaining-requests"] == "1"
    assert (await world.ask(limits, tokens=500))["x-ratelimit-remaining-tokens"] == "400"
    assert (await world.refused(limits)).type == "requests"
    world.now += 3
    assert (await world.refused(limits)).type == "tokens"
    world.now += 9
    assert (await world.ask(limits))["x-ratelimit-remaining-tokens"] == "20"
    assert world.metrics.rates_counted_here._value.get() == 5
    assert world.counter.settled == [("key_a", 100)], "nothing is charged to a Redis that did not let it in"


async def test_a_key_that_was_never_seen_begins_with_full_buckets(world: World) -> None:
    world.counter.away = True
    for left in (1, 0):
        assert (await world.ask(Limits(2, 5)))["x-ratelimit-remaining-requests"] == str(left)
    assert (await world.refused(Limits(2, 5))).retry_after_s == 30


async def test_places_are_counted_here_too(world: World) -> None:
    world.counter.away = True
    limits = Limits(None, None, 1)
    async with world.limiter.admitted(Caller("key_a", limits=limits)):
        assert (await world.refused(limits)).type == "concurrent"
        async with world.limiter.admitted(Caller("key_b", limits=limits)):
            pass
    await world.ask(limits)


async def test_redis_is_asked_again_after_a_pause_and_believed(world: World) -> None:
    limits = Limits(60)
    world.counter.away = True
    await world.ask(limits)
    await world.ask(limits)
    assert world.counter.asked == 1, "not for every request"
    world.counter.away, world.now = False, world.now + 1
    world.counter.reply = Admitted(None, 7.0, None)
    assert (await world.ask(limits))["x-ratelimit-remaining-requests"] == "7"
    assert world.counter.asked == 2


async def test_a_redis_that_does_not_answer_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.rates._PATIENCE_S", 0.01)
    world.counter.silent = True
    assert (await world.ask(Limits(60)))["x-ratelimit-remaining-requests"] == "59"


async def test_a_charge_that_redis_does_not_take_ends_no_request(world: World) -> None:
    async with world.limiter.admitted(Caller("key_a", limits=Limits(None, 100))) as admission:
        admission.usage.ask(30)
        world.counter.away = True
    assert world.counter.settled == []


@pytest.mark.parametrize(
    ("outputs", "tokens"),
    [
        ([], 7),
        ([("a", 2, True), ("a", 3, True)], 12),
        ([("a", 2, False), ("a", 5, False)], 12),
        ([("a", 2, True), ("b", 3, True), ("a", 1, True)], 13),
        ([("a", 2, False), ("b", 3, False), ("a", 4, False)], 14),
    ],
)
def test_tokens_of_answers_in_parts_and_as_a_whole(outputs: list[tuple[str, int, bool]], tokens: int) -> None:
    usage = Usage()
    usage.ask(3)
    usage.ask(4)
    for which, count, more in outputs:
        usage.answer(which, count, more=more)
    assert usage.tokens == tokens

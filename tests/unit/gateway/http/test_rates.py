"""Limits of keys at the model routes, over a real Redis, as the openai client sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from fastapi import Request
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, RateLimitError
from redis.asyncio import Redis

from gateway.access.api_key import Limits
from gateway.access.rates import RateLimiter
from gateway.errors import NotReady
from gateway.http.auth import Gatekeeper
from gateway.policy import context
from gateway.store.rates import RateStore
from tests.unit.gateway.access.samples import sample_key
from tests.unit.gateway.http.test_auth import Issued
from tests.unit.gateway.http.test_middleware import CHAT, World, assert_error

HOLDER = {"authorization": "Bearer ug-token"}


class Limited(World):
    """The middleware's world, and a key with limits. tokens: that each answer costs."""

    def __init__(self, folder: Path, redis: Redis, limits: Limits) -> None:
        super().__init__(folder)
        self.tokens = 0
        self.app._gatekeeper = Gatekeeper("op", ["key"], Issued(sample_key(limits=limits)))
        self.app._rates = RateLimiter(RateStore(redis), self.metrics)

    async def _chat(self, request: Request) -> dict[str, Any]:
        context.require().usage.ask(self.tokens)
        return await super()._chat(request)

    async def chat(self) -> httpx.Response:
        return await self.ask("POST", CHAT, headers=HOLDER, json={})


async def limited(folder: Path, redis: Redis, *limits: int | None) -> Limited:
    world = Limited(folder, redis, Limits(*limits))
    await world.policy.refresh()
    return world


async def test_requests_a_minute(tmp_path: Path, redis: Redis) -> None:
    world = await limited(tmp_path, redis, 2)
    assert [(await world.chat()).headers["x-ratelimit-remaining-requests"] for _ in range(2)] == ["1", "0"]
    refused = await world.chat()
    assert_error(refused, 429, "rate_limit_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert world.metrics.refusals.labels("rate_limit_exceeded")._value.get() == 1
    assert len(world.bodies) == 2


async def test_tokens_are_charged_when_they_are_known(tmp_path: Path, redis: Redis) -> None:
    world = await limited(tmp_path, redis, None, 100)
    world.tokens = 250
    assert (await world.chat()).status_code == 200
    refused = await world.chat()
    assert_error(refused, 429, "rate_limit_exceeded")
    assert refused.json()["error"]["type"] == "tokens"
    assert 85 <= int(refused.headers["retry-after"]) <= 91


async def test_requests_at_once(tmp_path: Path, redis: Redis) -> None:
    world = await limited(tmp_path, redis, None, None, 1)
    store = RateStore(redis)
    await store.admit("key_ug-token", Limits(None, None, 1), "on another replica", 60)
    refused = await world.chat()
    assert_error(refused, 429, "rate_limit_exceeded")
    assert (refused.json()["error"]["type"], refused.headers["retry-after"]) == ("concurrent", "1")
    await store.settle("key_ug-token", Limits(None, None, 1), "on another replica", 0)
    for _ in range(2):
        assert (await world.chat()).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/models", HOLDER),
        ("POST", CHAT, {"authorization": "Bearer key"}),
        ("POST", CHAT, {"authorization": "Bearer op"}),
    ],
)
async def test_what_has_no_limit_tells_none(
    tmp_path: Path, redis: Redis, method: str, path: str, headers: dict[str, str]
) -> None:
    world = await limited(tmp_path, redis, 1, 1, 1)
    for _ in range(3):
        answer = await world.ask(method, path, headers=headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert await redis.keys("*") == []


async def test_what_is_refused_later_tells_what_is_left_too(tmp_path: Path, redis: Redis) -> None:
    world = await limited(tmp_path, redis, 5)
    world.refusal = NotReady("the door refuses")
    refused = await world.chat()
    assert_error(refused, 503, "not_ready")
    assert refused.headers["x-ratelimit-remaining-requests"] == "4"
    assert await redis.zcard("leases:key_ug-token") == 0, "and its place is free again"


async def test_the_openai_client_understands(tmp_path: Path, redis: Redis) -> None:
    world = await limited(tmp_path, redis, 1)
    await world.chat()
    transport: Any = httpx2.ASGITransport(app=world.app)
    async with DefaultAsyncHttpxClient(transport=transport) as http:
        client = AsyncOpenAI(api_key="ug-token", base_url="http://127.0.0.1:8000/v1", http_client=http, max_retries=0)
        with pytest.raises(RateLimitError) as refusal:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert (refusal.value.code, refusal.value.type) == ("rate_limit_exceeded", "requests")
    assert refusal.value.response.headers["x-ratelimit-reset-requests"].endswith("s")

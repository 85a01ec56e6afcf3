from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from standardwebhooks.webhooks import Webhook

from gateway.service import webhooks
from gateway.service.metrics import GatewayMetrics
from gateway.service.webhooks import WebhookDelivery, WebhookSender
from gateway.store.lease import Lease
from gateway.store.webhooks import KEY, WebhookQueue

URL = "https://operator.example/hooks/unlearning"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
BODY = json.dumps({"type": "report.stale", "data": {"request": "req_1"}})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(webhooks, "_LONGEST_PAUSE_S", 0.0)


class Endpoint:
    """Answers as prepared, then with 204."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.got: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"location": "https://elsewhere.example/"})


@asynccontextmanager
async def delivering(redis: Redis, endpoint: Endpoint) -> AsyncIterator[tuple[WebhookDelivery, CollectorRegistry]]:
    registry = CollectorRegistry()
    async with httpx.AsyncClient(transport=httpx.MockTransport(endpoint)) as http:
        sender = WebhookSender(URL, SECRET, http)
        lease = Lease(redis, "webhooks", seconds=30)
        yield WebhookDelivery(WebhookQueue(redis), sender, lease, GatewayMetrics(registry)), registry


def counted(registry: CollectorRegistry, outcome: str) -> float:
    return registry.get_sample_value("unlearning_webhooks_total", {"outcome": outcome}) or 0.0


async def test_a_message_is_signed_as_the_specification_has_it(redis: Redis) -> None:
    endpoint = Endpoint()
    await redis.xadd(KEY, {"body": BODY})
    async with delivering(redis, endpoint) as (delivery, registry):
        await delivery.deliver()
    (request,) = endpoint.got
    assert (request.method, str(request.url)) == ("POST", URL)
    assert Webhook(SECRET).verify(request.content, dict(request.headers)) == json.loads(BODY)
    assert request.headers["content-type"] == "application/json"
    assert counted(registry, "delivered") == 1
    assert await WebhookQueue(redis).length() == 0


async def test_messages_come_in_order_each_with_its_own_id(redis: Redis) -> None:
    endpoint = Endpoint()
    for number in range(3):
        await redis.xadd(KEY, {"body": json.dumps({"number": number})})
    async with delivering(redis, endpoint) as (delivery, _):
        await delivery.deliver()
    assert [json.loads(request.content)["number"] for request in endpoint.got] == [0, 1, 2]
    assert len({request.headers["webhook-id"] for request in endpoint.got}) == 3


@pytest.mark.parametrize("answer", [500, 503, 404, 302, httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
async def test_what_fails_is_tried_again_under_the_same_id(redis: Redis, answer: int | Exception) -> None:
    endpoint = Endpoint(answer, answer)
    await redis.xadd(KEY, {"body": BODY})
    async with delivering(redis, endpoint) as (delivery, registry):
        await delivery.deliver()
    assert len(endpoint.got) == 3
    assert len({request.headers["webhook-id"] for request in endpoint.got}) == 1
    assert {str(request.url) for request in endpoint.got} == {URL}, "no redirection is followed"
    assert counted(registry, "delivered") == 1


async def test_an_endpoint_that_stays_away_keeps_its_messages(redis: Redis) -> None:
    away = Endpoint(*[500] * 5)
    await redis.xadd(KEY, {"body": BODY})
    await redis.xadd(KEY, {"body": BODY})
    async with delivering(redis, away) as (delivery, registry):
        await delivery.deliver()
        assert len(away.got) == 5
        assert counted(registry, "failed") == 1
        assert registry.get_sample_value("unlearning_webhooks_waiting") == 2
        await delivery.deliver()
        assert counted(registry, "delivered") == 2
        assert registry.get_sample_value("unlearning_webhooks_waiting") == 0


async def test_one_that_is_gone_for_good_is_not_asked_again(redis: Redis) -> None:
    endpoint = Endpoint(410)
    await redis.xadd(KEY, {"body": BODY})
    async with delivering(redis, endpoint) as (delivery, registry):
        await delivery.deliver()
    assert len(endpoint.got) == 1
    assert counted(registry, "refused") == 1


async def test_what_is_too_old_is_dropped(redis: Redis) -> None:
    endpoint = Endpoint()
    await redis.xadd(KEY, {"body": BODY}, id="1000-0")
    async with delivering(redis, endpoint) as (delivery, registry):
        await delivery.deliver()
    assert endpoint.got == []
    assert counted(registry, "expired") == 1


async def test_one_replica_delivers_at_a_time(redis: Redis) -> None:
    endpoint = Endpoint()
    await redis.xadd(KEY, {"body": BODY})
    async with delivering(redis, endpoint) as (delivery, _), Lease(redis, "webhooks", seconds=30).held() as mine:
        assert mine
        await delivery.deliver()
        assert endpoint.got == []
    async with delivering(redis, endpoint) as (delivery, _):
        await delivery.deliver()
    assert len(endpoint.got) == 1


@pytest.mark.parametrize(
    "lost", [lambda redis: redis.delete("lease:webhooks"), lambda redis: redis.set("lease:webhooks", "another")]
)
async def test_a_lease_that_was_lost_is_let_go(redis: Redis, lost: Callable[[Redis], Any]) -> None:
    lease = Lease(redis, "webhooks", seconds=30)
    async with lease.held() as mine:
        assert mine
        await lost(redis)
    assert await redis.get("lease:webhooks") in (None, b"another")

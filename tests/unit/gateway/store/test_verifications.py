from __future__ import annotations

import pytest
from redis.asyncio import Redis

from gateway.store import verifications as module
from gateway.store.verifications import Verifications


@pytest.fixture
def verifications(redis: Redis) -> Verifications:
    return Verifications(redis)


async def test_each_is_claimed_once_the_first_first(verifications: Verifications) -> None:
    for request_id in ("req_1", "req_2", "req_1"):
        await verifications.ask(request_id)
    assert [await verifications.claim() for _ in range(3)] == ["req_1", "req_2", None]


async def test_one_that_is_done_may_be_asked_for_again(verifications: Verifications) -> None:
    await verifications.ask("req_1")
    assert await verifications.claim() == "req_1"
    await verifications.done("req_1")
    assert await verifications.claim() is None
    await verifications.ask("req_1")
    assert await verifications.claim() == "req_1"


async def test_one_that_is_asked_for_while_it_runs_runs_once_more(verifications: Verifications) -> None:
    await verifications.ask("req_1")
    await verifications.claim()
    await verifications.ask("req_1")
    await verifications.done("req_1")
    assert await verifications.claim() == "req_1"


async def test_a_worker_that_died_is_followed_a_few_times(
    verifications: Verifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_S", -1.0)  # over as soon as it is claimed
    await verifications.ask("req_1")
    assert [await verifications.claim() for _ in range(5)] == ["req_1", "req_1", "req_1", None, None]


async def test_one_that_is_held_is_nobody_elses(verifications: Verifications, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", -1.0)
    await verifications.ask("req_1")
    await verifications.claim()
    monkeypatch.undo()
    await verifications.hold("req_1")
    assert await verifications.claim() is None


async def test_one_that_is_given_up_waits_again(verifications: Verifications) -> None:
    await verifications.ask("req_1")
    await verifications.claim()
    await verifications.give_up("req_1")
    assert await verifications.claim() == "req_1"
    await verifications.done("req_1")
    await verifications.give_up("req_1")
    assert await verifications.claim() is None, "it was done"

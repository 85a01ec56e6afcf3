"""The active set: refreshed by generation, served for a bounded time without Redis, never guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from adapters.artifact.footprint import Footprint
from gateway.errors import AdapterUnavailable, PolicyUnavailable, StoreUnavailable
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import AdapterRef, PlanBuilder, PlanMode
from gateway.service.metrics import GatewayMetrics
from gateway.store.records import RequestRecord, RequestState


class Edges:
    """The store and the engine as the policy sees them."""

    def __init__(self) -> None:
        self.current = 1
        self.records: list[RequestRecord] = []
        self.away = False
        self.broken = False
        self.reads = 0
        self.preloaded: list[tuple[AdapterRef, ...]] = []

    async def generation(self) -> int:
        if self.away:
            raise StoreUnavailable("Redis is away")
        return self.current

    async def policy(self) -> tuple[int, Sequence[RequestRecord]]:
        self.reads += 1
        return self.current, list(self.records)

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        if self.broken:
            raise AdapterUnavailable("damaged")
        self.preloaded.append(tuple(adapters))

    def activate(self, request_id: str) -> None:
        self.records.append(record(request_id))
        self.current += 1


def record(request_id: str, digest: str | None = "d" * 64) -> RequestRecord:
    return RequestRecord(
        id=request_id,
        tenant="default",
        method="spul",
        activation="auto",
        created_at=0,
        updated_at=0,
        forget_count=1,
        retain_count=0,
        commitment="",
        model="m",
        model_digest="",
        state=RequestState.ACTIVE,
        footprint=Footprint(20),
        digest=digest,
    )


def build(edges: Edges, staleness_s: float = 60.0) -> ActivePolicy:
    metrics = GatewayMetrics(CollectorRegistry())
    return ActivePolicy(edges, edges, PlanBuilder(b"k"), metrics, staleness_s=staleness_s)


async def test_before_the_first_refresh_everything_is_refused() -> None:
    policy = build(Edges())
    with pytest.raises(PolicyUnavailable, match="not loaded"):
        policy.plan()
    assert policy.off().mode is PlanMode.OFF


async def test_a_change_applies_at_the_next_refresh_and_is_preloaded() -> None:
    edges = Edges()
    policy = build(edges)
    await policy.refresh()
    assert policy.plan().adapters == ()
    edges.activate("req_a")
    await policy.refresh()
    assert policy.plan().applied == "req_a"
    assert edges.preloaded[-1] == policy.plan().adapters


async def test_an_unchanged_generation_reads_nothing() -> None:
    edges = Edges()
    policy = build(edges)
    await policy.refresh()
    await policy.refresh()
    assert edges.reads == 1


async def test_without_redis_the_last_set_is_served_for_a_while_and_then_refused() -> None:
    edges = Edges()
    edges.activate("req_a")
    policy = build(edges, staleness_s=0.2)
    await policy.refresh()
    edges.away = True
    with pytest.raises(StoreUnavailable):
        await policy.refresh()
    assert policy.plan().applied == "req_a"
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            policy.plan()
        except PolicyUnavailable:
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("a stale policy was served")
    edges.away = False
    await policy.refresh()
    assert policy.plan().applied == "req_a"


async def test_a_redis_that_lost_its_data_is_not_believed() -> None:
    edges = Edges()
    edges.activate("req_a")
    policy = build(edges)
    await policy.refresh()
    edges.current, edges.records = 0, []
    with pytest.raises(StoreUnavailable, match="lost"):
        await policy.refresh()
    assert policy.plan().applied == "req_a"


async def test_an_adapter_that_cannot_be_installed_is_tried_again_and_not_left_out() -> None:
    edges = Edges()
    edges.activate("req_a")
    edges.broken = True
    policy = build(edges)
    await policy.refresh()
    assert not policy.ready
    assert policy.plan().applied == "req_a", "the plan still asks for it, so requests are refused and not let through"
    edges.broken = False
    await policy.refresh()
    assert policy.ready


async def test_a_candidate_without_an_adapter_is_refused() -> None:
    policy = build(Edges())
    with pytest.raises(AdapterUnavailable, match="no adapter"):
        policy.candidate(record("req_a", digest=None))
    assert policy.candidate(record("req_a")).adapters == (AdapterRef("req_a", "d" * 64, Footprint(20)),)


async def test_a_plan_says_which_adapters_have_an_offset() -> None:
    edges = Edges()
    edges.records = [record("req_a"), replace(record("req_b"), footprint=Footprint(offset_rank=16))]
    policy = build(edges)
    await policy.refresh()
    assert [adapter.footprint for adapter in policy.plan().adapters] == [Footprint(20), Footprint(0, 16)]
    assert edges.preloaded[-1] == policy.plan().adapters
    assert policy.plan().rows == 20

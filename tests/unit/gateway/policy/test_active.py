"""The active set: refreshed by generation, served for a bounded time without Redis, never guessed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from adapters.artifact.footprint import Footprint
from gateway.errors import AdapterUnavailable, DataLost, PolicyUnavailable, StoreUnavailable, TooManyMatches
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import AdapterRef, PlanBuilder, PlanMode
from gateway.service.metrics import GatewayMetrics
from gateway.store.generation import Generation, GenerationFile
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import Policy
from tests.unit.gateway.store.samples import sample


class Edges:
    """The store and the engine as the policy sees them."""

    def __init__(self) -> None:
        self.number = 1
        self.records: list[RequestRecord] = []
        self.away = False
        self.lost = False
        self.broken = False
        self.preloaded: list[tuple[AdapterRef, ...]] = []

    async def policy(self, seen: Generation | None) -> Policy | None:
        if self.away:
            raise StoreUnavailable("Redis is away")
        if self.lost and seen is not None:
            raise DataLost("Redis lost its data")
        current = Generation(self.number, "m")
        return None if seen == current else Policy(current, tuple(self.records))

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        if self.broken:
            raise AdapterUnavailable("damaged")
        self.preloaded.append(tuple(adapters))

    def activate(self, request_id: str) -> None:
        self.records.append(record(request_id))
        self.number += 1


def record(request_id: str, digest: str | None = "d" * 64) -> RequestRecord:
    return sample(id=request_id, digest=digest, state=RequestState.ACTIVE, footprint=Footprint(20))


@pytest.fixture
def memory(tmp_path: Path) -> GenerationFile:
    return GenerationFile(tmp_path)


def build(edges: Edges, memory: GenerationFile, staleness_s: float = 60.0, **parts: Any) -> ActivePolicy:
    metrics = GatewayMetrics(CollectorRegistry())
    return ActivePolicy(edges, edges, PlanBuilder(b"k"), metrics, memory, staleness_s=staleness_s, **parts)


async def test_before_the_first_refresh_everything_is_refused(memory: GenerationFile) -> None:
    policy = build(Edges(), memory)
    with pytest.raises(PolicyUnavailable, match="not loaded"):
        policy.plan()
    assert policy.off().mode is PlanMode.OFF


async def test_a_change_applies_at_the_next_refresh_and_is_preloaded(memory: GenerationFile) -> None:
    edges = Edges()
    policy = build(edges, memory)
    await policy.refresh()
    assert policy.plan().adapters == ()
    edges.activate("req_a")
    await policy.refresh()
    assert policy.plan().applied == "req_a"
    assert edges.preloaded[-1] == policy.plan().adapters


async def test_without_redis_the_last_set_is_served_for_a_while_and_then_refused(memory: GenerationFile) -> None:
    edges = Edges()
    edges.activate("req_a")
    policy = build(edges, memory, staleness_s=0.2)
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


async def test_a_redis_that_lost_its_data_is_not_believed_until_an_operator_does(memory: GenerationFile) -> None:
    edges = Edges()
    edges.activate("req_a")
    policy = build(edges, memory)
    await policy.refresh()
    edges.lost, edges.records = True, []
    with pytest.raises(DataLost):
        await policy.refresh()
    assert policy.plan().applied == "req_a"

    restarted = build(edges, memory)
    with pytest.raises(DataLost):
        await restarted.refresh()
    with pytest.raises(PolicyUnavailable):
        restarted.plan()

    memory.path.unlink()
    accepting = build(edges, memory)
    await accepting.refresh()
    assert accepting.plan().applied == "none"


async def test_a_full_disk_keeps_no_new_set_from_being_served(memory: GenerationFile) -> None:
    edges = Edges()
    policy = build(edges, memory)
    memory.path.mkdir()  # cannot be replaced by a file
    edges.activate("req_a")
    await policy.refresh()
    assert policy.plan().applied == "req_a"


async def test_an_adapter_that_cannot_be_installed_is_tried_again_and_not_left_out(memory: GenerationFile) -> None:
    edges = Edges()
    edges.activate("req_a")
    edges.broken = True
    policy = build(edges, memory)
    await policy.refresh()
    assert not policy.ready
    assert policy.plan().applied == "req_a", "the plan still asks for it, so requests are refused and not let through"
    edges.broken = False
    await policy.refresh()
    assert policy.ready


async def test_a_candidate_without_an_adapter_is_refused(memory: GenerationFile) -> None:
    policy = build(Edges(), memory)
    with pytest.raises(AdapterUnavailable, match="no adapter"):
        policy.candidate(record("req_a", digest=None))
    assert policy.candidate(record("req_a")).adapters == (AdapterRef("req_a", "d" * 64, Footprint(20)),)


async def test_several_candidates_are_in_the_order_in_which_they_would_apply(memory: GenerationFile) -> None:
    policy = build(Edges(), memory, prompt_budget=60)
    late, early = (
        replace(record(name, digest=name[0] * 64), activated_seq=turn) for name, turn in (("late", 7), ("early", 3))
    )
    ready = replace(record("ready", digest="r" * 64), state=RequestState.READY, activated_seq=1)
    plan = policy.candidate(ready, late, early, late)
    assert plan.requests == ("early", "late", "ready")
    assert (plan.mode, plan.rows) == (PlanMode.CANDIDATE, 60)
    assert plan.cache_salt != policy.candidate(late).cache_salt
    with pytest.raises(TooManyMatches, match="the 3 requests need 60 virtual tokens; 59 may apply together"):
        build(Edges(), memory, prompt_budget=59).candidate(ready, late, early)
    with pytest.raises(AdapterUnavailable, match="no adapter"):
        policy.candidate(late, record("untrained", digest=None))


async def test_a_plan_says_which_adapters_have_an_offset(memory: GenerationFile) -> None:
    edges = Edges()
    edges.records = [record("req_a"), replace(record("req_b", digest="e" * 64), footprint=Footprint(offset_rank=16))]
    policy = build(edges, memory)
    await policy.refresh()
    assert [adapter.footprint for adapter in policy.plan().adapters] == [Footprint(20), Footprint(0, 16)]
    assert edges.preloaded[-1] == policy.plan().adapters
    assert policy.plan().rows == 20


@pytest.mark.parametrize("content", ["", "7", "seven ab12", "7 ab12 and more"])
async def test_a_damaged_memory_is_no_missing_one(memory: GenerationFile, content: str) -> None:
    memory.path.write_text(content)
    with pytest.raises(DataLost, match=str(memory.path)):
        build(Edges(), memory)

"""Two hosts with one Redis: what one retires is erased on the other too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.errors import DataLost
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import AdapterRef, PlanBuilder
from gateway.requests.erasure import Erasure
from gateway.service.metrics import GatewayMetrics
from gateway.store.blobs import BlobStore
from gateway.store.generation import GenerationFile
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import stored


class Engine:
    """`AdapterHolder` and `Preloader`: a set of digests, of which some cannot go yet."""

    def __init__(self) -> None:
        self.loaded: set[str] = set()
        self.held: set[str] = set()

    def digests(self) -> frozenset[str]:
        return frozenset(self.loaded)

    async def evict(self, digest: str) -> bool:
        if digest in self.held or digest not in self.loaded:
            return False
        self.loaded.remove(digest)
        return True

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        self.loaded |= {adapter.digest for adapter in adapters}


class Host:
    """One replica: its disk, its engine and its policy."""

    def __init__(self, redis: Redis, folder: Path) -> None:
        self.store = RequestStore(redis)
        self.blobs = BlobStore(redis, folder)
        self.engine = Engine()
        plans = PlanBuilder(b"key")
        metrics = GatewayMetrics(CollectorRegistry())
        memory = GenerationFile(folder)
        self.policy = ActivePolicy(self.store, self.engine, plans, metrics, memory, staleness_s=60)
        self.erasure = Erasure(self.store, self.blobs, self.engine, self.policy)

    async def serve(self, digest: str) -> None:
        """As the evaluation or a request of a user has it: in the engine, and on disk."""
        await self.blobs.get(digest)
        self.engine.loaded.add(digest)

    async def has(self, digest: str) -> bool:
        return digest in self.engine.loaded or digest in await self.blobs.local()


@pytest.fixture
async def hosts(redis: Redis, tmp_path: Path) -> tuple[Host, Host]:
    here, there = Host(redis, tmp_path / "here"), Host(redis, tmp_path / "there")
    await here.policy.refresh()
    await there.policy.refresh()
    return here, there


async def trained(host: Host, state: RequestState = RequestState.READY, content: bytes = b"learned") -> RequestRecord:
    record = await stored(host.store, RequestState.TRAINING)
    digest = await host.blobs.put(content, owner=record.id)
    way = [RequestState.EVALUATING, RequestState.READY, RequestState.ACTIVE]
    before = RequestState.TRAINING
    for after in way[: way.index(state) + 1]:
        record = await host.store.transition(record.id, expected={before}, to=after, changes={"digest": digest})
        before = after
    return record


async def test_what_another_host_retired_is_erased_here(hosts: tuple[Host, Host]) -> None:
    here, there = hosts
    record = await trained(here)
    assert record.digest is not None
    await there.serve(record.digest)
    assert await there.erasure.sweep() == frozenset()
    assert await there.has(record.digest)
    await here.store.retire(record.id, here.blobs)
    assert await there.erasure.sweep() == {record.digest}
    assert not await there.has(record.digest)
    assert await there.erasure.sweep() == frozenset()


async def test_a_candidate_that_was_not_kept_leaves_the_engine(hosts: tuple[Host, Host], redis: Redis) -> None:
    here, _ = hosts
    record = await trained(here)
    tried = await here.blobs.put(b"tried", owner=record.id)
    await here.serve(tried)
    await BlobStore(redis, None).release(tried, owner=record.id)  # as a worker on another host does it
    assert await here.erasure.sweep() == {tried}
    assert not await here.has(tried)
    assert record.digest is not None
    assert record.digest in await here.blobs.local()


async def test_what_a_running_answer_holds_goes_at_a_later_sweep(hosts: tuple[Host, Host]) -> None:
    here, there = hosts
    record = await trained(here)
    assert record.digest is not None
    await there.serve(record.digest)
    there.engine.held.add(record.digest)
    await here.store.retire(record.id, here.blobs)
    await there.erasure.sweep()
    assert record.digest in there.engine.loaded
    there.engine.held.clear()
    await there.erasure.sweep()
    assert record.digest not in there.engine.loaded


async def test_the_last_copy_of_what_a_request_needs_stays(hosts: tuple[Host, Host], redis: Redis) -> None:
    here, _ = hosts
    record = await trained(here)
    left = await trained(here, content=b"tried and kept for now")
    trials = {"trials": [{"digest": left.digest}, {"digest": None}]}
    other = await stored(here.store, RequestState.EVALUATING, selection=trials)
    assert record.digest is not None
    assert left.digest is not None
    for digest in (record.digest, left.digest):
        await here.serve(digest)
        await redis.delete(f"blob:{{{digest}}}:meta")
    await here.store.retire(left.id)  # `other` names its artifact still
    assert await here.store.digests() == {record.digest, left.digest}
    assert await here.erasure.sweep() == frozenset()
    await here.store.retire(other.id)
    assert await here.erasure.sweep() == {left.digest}
    assert await here.has(record.digest)


async def test_a_redis_that_lost_its_data_erases_nothing(hosts: tuple[Host, Host], redis: Redis) -> None:
    here, _ = hosts
    active, ready = await trained(here, RequestState.ACTIVE), await trained(here, content=b"another")
    await here.policy.refresh()
    await redis.flushall()
    with pytest.raises(DataLost):
        await here.erasure.sweep()
    assert {active.digest, ready.digest} <= await here.blobs.local()


async def test_before_the_policy_is_known_nothing_is_erased(redis: Redis, tmp_path: Path) -> None:
    host = Host(redis, tmp_path)
    digest = await host.blobs.put(b"orphan")
    await redis.flushall()
    assert await host.erasure.sweep() == frozenset()
    await host.policy.refresh()
    assert await host.erasure.sweep() == {digest}

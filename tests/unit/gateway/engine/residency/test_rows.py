"""Adapters are in the engine before a request runs, once each, or the request is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry

from adapters.artifact.footprint import Footprint
from gateway.engine.residency.rows import Residency
from gateway.engine.residency.slots import SlotTable
from gateway.errors import AdapterUnavailable
from gateway.policy.plan import AdapterRef
from gateway.service.metrics import GatewayMetrics


class Engine:
    """The edges of the residency: a store that has every adapter but `missing`, and a table that records writes."""

    def __init__(self) -> None:
        self.table: dict[int, bytes] = {}
        self.installs: list[bytes] = []
        self.refuse: set[bytes] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, digest: str) -> bytes:
        if digest.startswith("missing"):
            raise AdapterUnavailable(f"{digest} is not in the store")
        return digest.encode()

    async def install(self, rows: Sequence[int], artifact: bytes) -> None:
        await self.gate.wait()
        if artifact in self.refuse:
            raise AdapterUnavailable("the engine refused the adapter")
        self.installs.append(artifact)
        self.table.update(dict.fromkeys(rows, artifact))

    async def evict(self, rows: Sequence[int]) -> None:
        await self.gate.wait()
        for row in rows:
            del self.table[row]


def ref(digest: str, rows: int = 2) -> AdapterRef:
    return AdapterRef(f"req_{digest}", digest, Footprint(rows))


def build(engine: Engine, rows: int = 8, wait_s: float = 0.2) -> Residency:
    return Residency(SlotTable(rows), engine, engine, GatewayMetrics(CollectorRegistry()), wait_s=wait_s)


async def test_rows_come_in_plan_order() -> None:
    engine = Engine()
    residency = build(engine)
    lease = await residency.acquire([ref("a"), ref("b", 3)])
    assert [engine.table[row] for row in lease.rows] == [b"a", b"a", b"b", b"b", b"b"]
    lease = await residency.acquire([ref("b", 3), ref("a")])
    assert [engine.table[row] for row in lease.rows] == [b"b", b"b", b"b", b"a", b"a"]
    assert engine.installs == [b"a", b"b"]


async def test_many_requests_for_an_absent_adapter_install_it_once() -> None:
    engine = Engine()
    engine.gate.clear()
    residency = build(engine)
    waiting = [asyncio.create_task(residency.acquire([ref("a")])) for _ in range(20)]
    await asyncio.sleep(0)
    engine.gate.set()
    leases = await asyncio.gather(*waiting)
    assert engine.installs == [b"a"]
    assert len({lease.slots for lease in leases}) == 1


async def test_an_adapter_being_written_is_not_served() -> None:
    engine = Engine()
    engine.gate.clear()
    residency = build(engine)
    first = asyncio.create_task(residency.acquire([ref("a")]))
    await asyncio.sleep(0)
    second = asyncio.create_task(residency.acquire([ref("a")]))
    await asyncio.sleep(0.01)
    assert not second.done()
    engine.gate.set()
    await asyncio.gather(first, second)


async def test_a_failed_adapter_holds_nothing_and_frees_its_rows() -> None:
    engine = Engine()
    engine.refuse.add(b"bad")
    residency = build(engine, rows=4)
    with pytest.raises(AdapterUnavailable, match="refused"):
        await residency.acquire([ref("good"), ref("bad")])
    await residency.acquire([ref("other", 4)])
    assert engine.installs == [b"good", b"other"]


async def test_a_failure_is_remembered_for_a_while() -> None:
    engine = Engine()
    engine.refuse.add(b"bad")
    residency = build(engine)
    with pytest.raises(AdapterUnavailable):
        await residency.acquire([ref("bad")])
    engine.refuse.clear()
    with pytest.raises(AdapterUnavailable, match="refused"):
        await residency.acquire([ref("bad")])
    assert engine.installs == []


async def test_a_missing_artifact_refuses_the_request() -> None:
    with pytest.raises(AdapterUnavailable, match="not in the store"):
        await build(Engine()).acquire([ref("missing")])


async def test_a_request_waits_for_rows_that_others_hold() -> None:
    engine = Engine()
    residency = build(engine, rows=4, wait_s=5)
    lease = await residency.acquire([ref("a", 4)])
    waiting = asyncio.create_task(residency.acquire([ref("b", 4)]))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    residency.release(lease)
    assert [engine.table[row] for row in (await waiting).rows] == [b"b"] * 4


async def test_and_is_refused_when_they_never_come_free() -> None:
    residency = build(Engine(), rows=4)
    await residency.acquire([ref("a", 4)])
    with pytest.raises(AdapterUnavailable, match="no room"):
        await residency.acquire([ref("b", 1)])


async def test_one_that_waits_for_room_takes_none_away() -> None:
    engine = Engine()
    residency = build(engine, rows=4, wait_s=5)
    running = await residency.acquire([ref("x", 3)])
    waiting = asyncio.create_task(residency.acquire([ref("a", 1), ref("b", 2)]))
    await asyncio.sleep(0.01)
    small = await residency.acquire([ref("c", 1)])
    assert not waiting.done()
    residency.release(running)
    residency.release(small)
    assert [engine.table[row] for row in (await waiting).rows] == [b"a", b"b", b"b"]


async def test_prompts_about_more_than_the_table_holds_take_turns() -> None:
    engine = Engine()
    residency = build(engine, rows=8, wait_s=5)

    async def serve(number: int) -> bool:
        wanted = [ref(f"{number}-{part}", 3) for part in range(2)]
        lease = await residency.acquire(wanted)
        await asyncio.sleep(0)
        right = [engine.table[row] for row in lease.rows] == [each.digest.encode() for each in wanted for _ in range(3)]
        residency.release(lease)
        return right

    assert all(await asyncio.gather(*(serve(number) for number in range(40))))


async def test_waiting_for_the_turn_to_install_is_bounded_too() -> None:
    engine = Engine()
    engine.gate.clear()
    residency = build(engine, wait_s=0.02)
    stuck = asyncio.create_task(residency.acquire([ref("a")]))
    await asyncio.sleep(0)
    with pytest.raises(AdapterUnavailable, match="turn") as refused:
        await residency.acquire([ref("b")])
    assert refused.value.retry_after_s
    engine.gate.set()
    residency.release(await stuck)
    residency.release(await residency.acquire([ref("b")]))


async def test_what_goes_out_while_the_rest_comes_is_fetched_too() -> None:
    engine = Engine()
    residency = build(engine, wait_s=5)
    residency.release(await residency.acquire([ref("a")]))
    engine.gate.clear()
    first = asyncio.create_task(residency.acquire([ref("x")]))  # has its turn
    evicting = asyncio.create_task(residency.evict("a"))
    await asyncio.sleep(0)
    both = asyncio.create_task(residency.acquire([ref("a"), ref("b")]))
    await asyncio.sleep(0.01)
    engine.gate.set()
    assert await evicting
    assert [engine.table[row] for row in (await asyncio.wait_for(both, 1)).rows] == [b"a", b"a", b"b", b"b"]
    await first


async def test_no_room_is_not_held_against_an_adapter() -> None:
    residency = build(Engine(), rows=4, wait_s=0.01)
    lease = await residency.acquire([ref("a", 4)])
    with pytest.raises(AdapterUnavailable, match="no room"):
        await residency.acquire([ref("b", 1)])
    residency.release(lease)
    assert (await residency.acquire([ref("b", 1)])).rows


async def test_an_adapter_larger_than_the_table_is_refused_at_once() -> None:
    with pytest.raises(AdapterUnavailable, match="no room"):
        await build(Engine(), rows=4, wait_s=3600).acquire([ref("a", 5)])


async def test_evict_spares_what_is_held() -> None:
    engine = Engine()
    residency = build(engine)
    lease = await residency.acquire([ref("a")])
    assert await residency.evict("a") is False
    residency.release(lease)
    assert await residency.evict("a") is True
    assert engine.table == {}


async def left(waiting: asyncio.Task[object], engine: Engine) -> None:
    """Whoever waits leaves while the engine is at work, which then goes on."""
    for _ in range(5):
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    engine.gate.set()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_adapter_is_taken_out_whole_when_who_asked_for_it_leaves() -> None:
    engine = Engine()
    residency = build(engine)
    residency.release(await residency.acquire([ref("a")]))
    engine.gate.clear()
    await left(asyncio.create_task(residency.evict("a")), engine)
    assert engine.table == {}
    assert (await residency.acquire([ref("a")])).rows


async def test_an_adapter_is_brought_in_whole_when_who_asked_for_it_leaves_and_is_held_by_nobody() -> None:
    engine = Engine()
    engine.gate.clear()
    residency = build(engine)
    await left(asyncio.create_task(residency.acquire([ref("a"), ref("b")])), engine)
    assert residency.digests() == {"a", "b"}
    assert [await residency.evict(digest) for digest in "ab"] == [True, True]
    assert engine.table == {}


@pytest.mark.parametrize("sizes", [(3, 2), (4, 1), (2, 2, 3), (1, 1, 1, 1, 2)])
async def test_what_makes_room_leaves_nothing_in_the_table(sizes: tuple[int, ...]) -> None:
    engine = Engine()
    residency = build(engine, rows=4)
    for number, size in enumerate(sizes):
        residency.release(await residency.acquire([ref(str(number), size)]))
    assert {artifact.decode() for artifact in engine.table.values()} == residency.digests()

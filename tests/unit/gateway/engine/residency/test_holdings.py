"""Rows and LoRA of a plan are held together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from adapters.artifact.footprint import Footprint
from gateway.engine.residency.holdings import Holdings
from gateway.engine.residency.rows import Residency
from gateway.engine.residency.slots import SlotTable
from gateway.engine.statement import set_name
from gateway.errors import AdapterUnavailable
from gateway.policy.plan import AdapterRef
from gateway.service.metrics import GatewayMetrics
from tests.unit.gateway.engine.samples import offset_artifact, target_artifact
from tests.unit.gateway.engine.stub_engine import StubEngine, library

ROWS = 8


class Rows:
    """`RowWriter`: takes everything, and notes what it was given."""

    def __init__(self) -> None:
        self.written: list[tuple[int, ...]] = []

    async def install(self, rows: Sequence[int], artifact: bytes) -> None:
        self.written.append(tuple(rows))

    async def evict(self, rows: Sequence[int]) -> None: ...


class Setup:
    """Holdings over a table of eight rows and, if asked for, offsets."""

    def __init__(self, folder: Path | None) -> None:
        self.engine = StubEngine()
        self.table = SlotTable(ROWS)
        self.rows = Rows()
        residency = Residency(self.table, self.engine, self.rows, GatewayMetrics(CollectorRegistry()), wait_s=0.01)
        self.holdings = Holdings(residency, None if folder is None else library(self.engine, folder))

    def adapter(self, seed: int, *, rows: int = 0, rank: int = 0) -> AdapterRef:
        digest = self.engine.store(offset_artifact(seed, rows=rows))
        return AdapterRef(f"req_{seed}", digest, Footprint(rows, rank))

    def held(self, *adapters: AdapterRef) -> list[int]:
        return [self.table.holders(adapter.digest) for adapter in adapters]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


async def test_each_adapter_is_held_for_what_it_has(setup: Setup) -> None:
    soft, offset, both = (
        setup.adapter(1, rows=2),
        setup.adapter(2, rank=2),
        setup.adapter(3, rows=3, rank=2),
    )
    async with setup.holdings.hold([soft, offset, both]) as holding:
        assert len(holding.rows) == 5
        assert holding.lora is not None
        assert setup.engine.added == [holding.lora.name]
        assert setup.held(soft, offset, both) == [1, 0, 1]
        await setup.holdings.evict(offset.digest)
        assert setup.engine.loaded != {}, "a request holds it"
    assert setup.held(soft, both) == [0, 0]
    assert setup.engine.loaded == {}


async def test_a_plan_without_offsets_touches_none(setup: Setup) -> None:
    holding = await setup.holdings.acquire([setup.adapter(1, rows=2)])
    assert holding.lora is None
    assert setup.engine.added == []


async def test_rows_are_given_back_when_the_offset_fails(setup: Setup) -> None:
    soft, offset = setup.adapter(1, rows=ROWS), setup.adapter(2, rank=2)
    setup.engine.refuse.add(offset.digest)
    with pytest.raises(AdapterUnavailable, match="refused"):
        await setup.holdings.acquire([soft, offset])
    assert setup.held(soft) == [0]
    await setup.holdings.acquire([setup.adapter(3, rows=ROWS)])


async def test_no_offset_is_loaded_where_the_rows_do_not_come_free(setup: Setup) -> None:
    await setup.holdings.acquire([setup.adapter(1, rows=ROWS)])
    with pytest.raises(AdapterUnavailable, match="no room"):
        await setup.holdings.acquire([setup.adapter(2, rows=1), setup.adapter(3, rank=2)])
    assert setup.engine.added == []


async def test_an_offset_that_is_taken_out_is_refused_with_the_rows_given_back(setup: Setup) -> None:
    soft, offset = setup.adapter(1, rows=2), setup.adapter(2, rank=2)
    async with setup.holdings.hold([soft, offset]) as holding:
        assert holding.lora is not None
        assert "not finite" in holding.take_out().message
    with pytest.raises(AdapterUnavailable, match="not finite"):
        await setup.holdings.acquire([soft, offset])
    assert setup.held(soft) == [0]


async def test_without_a_pair_offsets_are_refused_and_never_left_out() -> None:
    setup = Setup(None)
    soft, offset = setup.adapter(1, rows=2), setup.adapter(2, rank=2)
    for call in (setup.holdings.acquire, setup.holdings.preload):
        with pytest.raises(AdapterUnavailable, match="without a pair"):
            await call([soft, offset])
    setup = Setup(None)
    with pytest.raises(AdapterUnavailable):
        await setup.holdings.acquire([soft, offset])
    assert setup.held(soft) == [0]


async def test_a_lora_on_the_target_is_held_like_an_offset(setup: Setup) -> None:
    digest = setup.engine.store(target_artifact())
    async with setup.holdings.hold(
        [setup.adapter(1, rows=2), AdapterRef("req", digest, Footprint(target_rank=3))]
    ) as holding:
        assert holding.lora is not None
        assert holding.lora.name == digest
    setup = Setup(None)
    with pytest.raises(AdapterUnavailable, match="without `lora` in --methods"):
        await setup.holdings.acquire([AdapterRef("req", digest, Footprint(target_rank=3))])


async def test_without_a_pair_soft_prompts_are_served() -> None:
    setup = Setup(None)
    soft = setup.adapter(1, rows=2)
    await setup.holdings.preload([soft])
    async with setup.holdings.hold([soft]) as holding:
        assert (len(holding.rows), holding.lora) == (2, None)
    await setup.holdings.preload([])
    assert await setup.holdings.evict(soft.digest) is True


async def test_what_is_held_stays_until_its_last_reference_is_released(setup: Setup) -> None:
    soft, offset = setup.adapter(1, rows=2), setup.adapter(2, rank=2)
    first = await setup.holdings.acquire([soft, offset])
    second = first.share()
    assert second.rows == first.rows
    await first.release()
    await setup.holdings.evict(offset.digest)
    assert setup.held(soft) == [1], "it is acquired once, however many refer to it"
    assert setup.engine.loaded != {}
    await second.release()
    assert (setup.held(soft), setup.engine.loaded) == ([0], {})
    with pytest.raises(AdapterUnavailable, match="is over"):
        first.share()


async def test_preloading_holds_both_kinds_until_others_take_their_place(setup: Setup) -> None:
    soft, offset = setup.adapter(1, rows=ROWS), setup.adapter(2, rank=2)
    await setup.holdings.preload([soft, offset])
    assert setup.held(soft) == [1]
    await setup.holdings.evict(offset.digest)
    assert setup.engine.loaded != {}
    await setup.holdings.preload([])
    assert (setup.held(soft), setup.engine.loaded) == ([0], {})


async def test_what_is_preloaded_makes_room_for_what_takes_its_place(setup: Setup) -> None:
    first, second = setup.adapter(1, rows=ROWS), setup.adapter(2, rows=ROWS)
    await setup.holdings.preload([first])
    await setup.holdings.preload([second])
    assert setup.held(first, second) == [0, 1]


async def test_what_stays_preloaded_is_not_written_again(setup: Setup) -> None:
    staying, going, coming = (setup.adapter(seed, rows=ROWS // 2) for seed in range(3))
    await setup.holdings.preload([staying, going])
    del setup.engine.artifacts[staying.digest]
    await setup.holdings.preload([staying, coming])
    assert setup.held(staying, going, coming) == [1, 0, 1]


@pytest.mark.parametrize("broken", [{"rows": 2}, {"rank": 2}, {"rows": 2, "rank": 2}])
async def test_a_preload_that_fails_leaves_nothing_pinned(setup: Setup, broken: dict[str, int]) -> None:
    soft, offset, missing = setup.adapter(1, rows=2), setup.adapter(2, rank=2), setup.adapter(3, **broken)
    del setup.engine.artifacts[missing.digest]
    await setup.holdings.preload([soft, offset])
    with pytest.raises(AdapterUnavailable, match="not in the store"):
        await setup.holdings.preload([soft, offset, missing])
    assert setup.held(soft) == [0]
    for adapter in (soft, offset):
        assert await setup.holdings.evict(adapter.digest)
    assert (setup.table.rows_in_use, setup.engine.loaded) == (0, {})


@pytest.mark.parametrize(("rows", "rank"), [(2, 0), (0, 2), (2, 2)])
async def test_evicting_says_whether_there_was_anything(setup: Setup, rows: int, rank: int) -> None:
    adapter = setup.adapter(1, rows=rows, rank=rank)
    assert await setup.holdings.evict(adapter.digest) is False
    async with setup.holdings.hold([adapter]):
        pass
    assert await setup.holdings.evict(adapter.digest) is True
    assert (setup.table.rows_in_use, setup.engine.loaded) == (0, {})


async def test_it_says_what_is_in_the_engine(setup: Setup) -> None:
    assert setup.holdings.digests() == frozenset()
    soft, first, second = setup.adapter(1, rows=2), setup.adapter(2, rank=2), setup.adapter(3, rank=2)
    async with setup.holdings.hold([soft, first, second]):
        pass
    assert setup.holdings.digests() == {soft.digest, first.digest, second.digest}
    await setup.holdings.evict(second.digest)
    await setup.holdings.evict(soft.digest)
    assert setup.holdings.digests() == frozenset(), "a merge goes whole"


async def test_an_engine_without_offsets_says_its_rows() -> None:
    bare = Setup(None)
    soft = bare.adapter(1, rows=2)
    async with bare.holdings.hold([soft]):
        assert bare.holdings.digests() == {soft.digest}


async def test_what_is_kept_is_what_is_preloaded(setup: Setup) -> None:
    soft, offset, both = setup.adapter(1, rows=2), setup.adapter(2, rank=2), setup.adapter(3, rows=3, rank=2)
    assert setup.holdings.kept() == frozenset()
    await setup.holdings.preload([soft, both])
    assert setup.holdings.kept() == {soft.digest, both.digest}
    await setup.holdings.preload([offset, both])
    assert setup.holdings.kept() == {both.digest, set_name([offset.digest, both.digest])}
    await setup.holdings.preload([])
    assert setup.holdings.kept() == frozenset()


async def test_a_repair_writes_once_more_what_is_there_already(setup: Setup) -> None:
    soft, offset, both = setup.adapter(1, rows=2), setup.adapter(2, rank=2), setup.adapter(3, rows=3, rank=2)
    async with setup.holdings.hold([soft, offset, both]) as holding:
        (lora,) = setup.engine.loaded.values()
        (lora.folder / "adapter_model.safetensors").unlink()
        await setup.holdings.repair([soft, offset, both])
        assert setup.rows.written == [tuple(holding.rows[:2]), tuple(holding.rows[2:])] * 2
        assert setup.engine.reloaded == [lora.name]
        assert setup.engine.loaded == {lora.id: lora}, "under the number that running requests have"


async def test_there_is_nothing_to_repair_in_what_is_not_there(setup: Setup) -> None:
    await setup.holdings.repair([setup.adapter(1, rows=2), setup.adapter(2, rank=2)])
    assert (setup.rows.written, setup.engine.loaded) == ([], {})
    await setup.holdings.repair([])

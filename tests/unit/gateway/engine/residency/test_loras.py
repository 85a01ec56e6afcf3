"""LoRAs are in the engine before a request runs, once each, and leave nothing when they go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from safetensors.torch import load_file

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import DD_LINEAR, DD_RANK, DELTA, ULD, PairSpec
from gateway.engine.residency import loras
from gateway.engine.residency.loras import Lora, LoraLibrary
from gateway.engine.residency.rows import RETRY_AFTER_S
from gateway.engine.statement import set_name
from gateway.errors import AdapterUnavailable
from gateway.service.metrics import GatewayMetrics
from tests.unit.gateway.engine.samples import SHAPES, offset_artifact, target_artifact
from tests.unit.gateway.engine.stub_engine import StubEngine, library


@pytest.fixture
def engine() -> StubEngine:
    return StubEngine()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def lora_library(engine: StubEngine, registry: CollectorRegistry, tmp_path: Path) -> LoraLibrary:
    return library(engine, tmp_path, GatewayMetrics(registry))


async def held(library: LoraLibrary, *digests: str) -> Lora:
    offset = await library.acquire(digests)
    assert offset is not None
    return offset


def folders(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def lora_ranks(folder: Path) -> list[int]:
    """Of every layer that the folder changes."""
    tensors = load_file(folder / "adapter_model.safetensors")
    return [tensor.shape[0] for name, tensor in tensors.items() if name.endswith("lora_A.weight")]


async def test_a_set_without_offsets_needs_nothing(lora_library: LoraLibrary, engine: StubEngine) -> None:
    assert await lora_library.acquire([]) is None
    await lora_library.release(None)
    assert engine.added == []


async def test_an_adapter_is_loaded_under_its_digest_and_stays_for_the_next_request(
    lora_library: LoraLibrary, engine: StubEngine, registry: CollectorRegistry, tmp_path: Path
) -> None:
    digest = engine.store(offset_artifact())
    offset = await held(lora_library, digest)
    assert (offset.name, offset.folder) == (digest, tmp_path / digest)
    assert engine.modules[offset.id] == sorted(f"offset.{name}" for name in SHAPES)
    await lora_library.release(offset)
    assert await held(lora_library, digest) is offset
    assert engine.added == [digest]
    assert registry.get_sample_value("unlearning_loras_loaded") == 1
    assert registry.get_sample_value("unlearning_adapter_installs_total") == 1


@pytest.mark.parametrize(
    ("kind", "parameter", "plain"), [(DELTA, 0, True), (DD_LINEAR, 0, True), (ULD, 0.1, False), (DD_RANK, 5, False)]
)
async def test_the_engine_is_told_which_rules_are_no_plain_sum(
    lora_library: LoraLibrary, engine: StubEngine, kind: str, parameter: float, plain: bool
) -> None:
    offset = await held(lora_library, engine.store(offset_artifact(kind=kind, parameter=parameter)))
    assert engine.plain == {offset.id: plain}


async def test_requests_that_come_together_load_it_once(lora_library: LoraLibrary, engine: StubEngine) -> None:
    digest = engine.store(offset_artifact())
    engine.gate.clear()
    waiting = [asyncio.create_task(held(lora_library, digest)) for _ in range(20)]
    await engine.entered.wait()
    assert not any(task.done() for task in waiting), "an offset that is being loaded is not served"
    engine.gate.set()
    assert len({await task for task in waiting}) == 1
    assert engine.added == [digest]


async def test_a_set_is_one_merged_offset_in_whatever_order(lora_library: LoraLibrary, engine: StubEngine) -> None:
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    merged = await held(lora_library, a, b)
    assert await held(lora_library, b, a) is merged
    assert merged.name == set_name([b, a])
    assert merged.name not in (a, b)
    alone = await held(lora_library, a)
    assert alone.id != merged.id
    assert engine.added == [merged.name, a]


async def test_a_merge_has_no_more_rank_than_the_engine_takes(
    engine: StubEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few, many = library(engine, tmp_path / "few", max_rank=4), library(engine, tmp_path / "many", max_rank=6)
    digests = [engine.store(offset_artifact(seed, rank=2)) for seed in range(3)]
    with caplog.at_level("INFO", logger="gateway.engine.residency.loras"):
        whole = lora_ranks((await held(many, *digests)).folder)
        assert "merge made smaller" not in caplog.text
        engine.loaded.clear()
        smaller = lora_ranks((await held(few, *digests)).folder)
    assert (max(whole), max(smaller)) == (6, 4)
    assert "merged=3 rank=4 least_kept=0." in caplog.text


async def test_every_replica_merges_to_the_same_bytes(engine: StubEngine, tmp_path: Path) -> None:
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    one = await held(library(engine, tmp_path / "one"), a, b)
    engine.loaded.clear()
    other = await held(library(engine, tmp_path / "other"), b, a)
    assert one.folder != other.folder
    file = "adapter_model.safetensors"
    assert (one.folder / file).read_bytes() == (other.folder / file).read_bytes()


async def test_sets_that_cannot_apply_together_are_refused(lora_library: LoraLibrary, engine: StubEngine) -> None:
    plain, other = engine.store(offset_artifact(1)), engine.store(offset_artifact(2, pair=PairSpec(3)))
    rank = engine.store(offset_artifact(3, kind=DD_RANK, parameter=5))
    with pytest.raises(AdapterUnavailable, match="different pairs"):
        await lora_library.acquire([plain, other])
    with pytest.raises(AdapterUnavailable, match="dd_rank cannot apply together"):
        await lora_library.acquire([plain, rank])
    assert (await held(lora_library, plain)).name == plain


async def test_evicting_takes_an_adapter_and_every_merge_with_it_out(
    lora_library: LoraLibrary, engine: StubEngine, registry: CollectorRegistry, tmp_path: Path
) -> None:
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    for digests in ((a,), (b,), (a, b)):
        await lora_library.release(await lora_library.acquire(digests))
    assert await lora_library.evict(a) is True
    assert {offset.name for offset in engine.loaded.values()} == folders(tmp_path) == {b}
    assert registry.get_sample_value("unlearning_loras_loaded") == 1
    assert await lora_library.evict(a) is False


async def test_an_offset_that_requests_hold_goes_when_the_last_one_ends(
    lora_library: LoraLibrary, engine: StubEngine, tmp_path: Path
) -> None:
    digest = engine.store(offset_artifact())
    first, second = await held(lora_library, digest), await held(lora_library, digest)
    assert await lora_library.evict(digest) is True
    await lora_library.release(first)
    assert engine.loaded == {second.id: second}
    assert folders(tmp_path) == {digest}, "vLLM may have to read it again"
    await lora_library.release(second)
    assert engine.loaded == {}
    assert folders(tmp_path) == set()


async def test_one_that_is_retired_while_it_is_loaded_goes_too(
    lora_library: LoraLibrary, engine: StubEngine, tmp_path: Path
) -> None:
    digest = engine.store(offset_artifact())
    engine.gate.clear()
    loading = asyncio.create_task(held(lora_library, digest))
    await engine.entered.wait()
    evicting = asyncio.create_task(lora_library.evict(digest))
    await asyncio.sleep(0)
    engine.gate.set()
    offset = await loading
    assert await evicting is True
    await lora_library.release(offset)
    assert (engine.loaded, folders(tmp_path)) == ({}, set())


async def test_one_that_is_asked_for_while_it_is_taken_out_comes_back_whole(
    lora_library: LoraLibrary, engine: StubEngine
) -> None:
    digest = engine.store(offset_artifact())
    await lora_library.release(await lora_library.acquire([digest]))
    engine.removing.clear()
    engine.entered.clear()
    evicting = asyncio.create_task(lora_library.evict(digest))
    await engine.entered.wait()
    asking = asyncio.create_task(held(lora_library, digest))
    await asyncio.sleep(0)
    engine.removing.set()
    await evicting
    offset = await asking
    assert engine.loaded == {offset.id: offset}
    assert (offset.folder / "adapter_model.safetensors").is_file()


async def test_a_failure_is_remembered_for_a_while(
    lora_library: LoraLibrary,
    engine: StubEngine,
    registry: CollectorRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loras, "RETRY_AFTER_S", 3600)
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    engine.refuse.add(a)
    waiting = [asyncio.create_task(held(lora_library, a)) for _ in range(5)]
    assert [type(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == [AdapterUnavailable] * 5
    engine.refuse.clear()
    for digests in ([a], [a, b]):
        with pytest.raises(AdapterUnavailable, match="refused"):
            await lora_library.acquire(digests)
    assert engine.added == [a], "those that waited for the same load do not try again"
    assert registry.get_sample_value("unlearning_adapter_install_failures_total") == 1
    assert (engine.loaded, folders(tmp_path)) == ({}, set())
    assert (await held(lora_library, b)).name == b


async def test_and_then_it_is_tried_again(
    lora_library: LoraLibrary, engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loras, "RETRY_AFTER_S", 0)
    digest = engine.store(offset_artifact())
    engine.refuse.add(digest)
    with pytest.raises(AdapterUnavailable):
        await lora_library.acquire([digest])
    engine.refuse.clear()
    assert (await held(lora_library, digest)).name == digest


@pytest.mark.parametrize("data", [b"", b"rubbish", offset_artifact().to_bytes()[:-3]])
async def test_damaged_bytes_are_refused(lora_library: LoraLibrary, engine: StubEngine, data: bytes) -> None:
    engine.artifacts["damaged"] = data
    with pytest.raises(AdapterUnavailable, match="cannot be used"):
        await lora_library.acquire(["damaged"])
    assert engine.added == []


async def test_a_missing_artifact_is_refused(lora_library: LoraLibrary) -> None:
    with pytest.raises(AdapterUnavailable, match="not in the store"):
        await lora_library.acquire(["missing"])


async def test_a_disk_that_takes_no_folder(engine: StubEngine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AdapterUnavailable, match="cannot be written to disk"):
        await library(engine, tmp_path / "file" / "offsets").acquire([engine.store(offset_artifact())])


async def test_a_load_goes_on_when_who_asked_for_it_leaves(lora_library: LoraLibrary, engine: StubEngine) -> None:
    digest = engine.store(offset_artifact())
    engine.gate.clear()
    loading = asyncio.create_task(held(lora_library, digest))
    await engine.entered.wait()
    loading.cancel()
    with suppress(asyncio.CancelledError):
        await loading
    engine.gate.set()
    assert (await held(lora_library, digest)).name == digest
    assert engine.added == [digest]


async def test_a_load_that_is_cancelled_leaves_nothing_in_the_engine(
    lora_library: LoraLibrary, engine: StubEngine, tmp_path: Path
) -> None:
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    engine.gate.clear()
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(held(lora_library, a))
    await engine.entered.wait()
    (load,) = asyncio.all_tasks() - before - {waiting}
    load.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert (engine.loaded, folders(tmp_path)) == ({}, set())
    engine.gate.set()
    for digest in (b, a):
        assert (await held(lora_library, digest)).name == digest


@pytest.mark.parametrize("retired_first", [False, True])
async def test_one_is_taken_out_whole_when_who_asked_for_it_leaves(
    lora_library: LoraLibrary, engine: StubEngine, tmp_path: Path, retired_first: bool
) -> None:
    """Who retires it, or the last who held it."""
    digest = engine.store(offset_artifact(1))
    lora = await held(lora_library, digest)
    if retired_first:
        await lora_library.evict(digest)
    else:
        await lora_library.release(lora)
    engine.entered.clear()
    engine.removing.clear()
    work = lora_library.release(lora) if retired_first else lora_library.evict(digest)
    leaving: asyncio.Task[object] = asyncio.create_task(work)
    await engine.entered.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    engine.removing.set()
    await settled()
    assert (engine.loaded, folders(tmp_path)) == ({}, set())


async def test_a_set_that_takes_long_is_refused_and_is_there_when_it_is_asked_for_again(
    engine: StubEngine, tmp_path: Path
) -> None:
    lora_library = library(engine, tmp_path, wait_s=0.01)
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    engine.gate.clear()
    for _ in range(2):
        with pytest.raises(AdapterUnavailable, match="still being loaded") as refused:
            await lora_library.acquire([a, b])
        assert refused.value.retry_after_s
    engine.gate.set()
    await settled()
    assert (await held(lora_library, b, a)).name == set_name([a, b])
    assert len(engine.added) == 1


async def test_no_more_sets_wait_to_be_loaded_than_are_loaded_in_time(engine: StubEngine, tmp_path: Path) -> None:
    lora_library = library(engine, tmp_path)
    content = offset_artifact().to_bytes()
    engine.artifacts = {f"digest-{number}": content for number in range(512)}
    engine.gate.clear()
    asked = [asyncio.create_task(held(lora_library, digest)) for digest in engine.artifacts]
    await engine.entered.wait()
    refused = [task.exception() for task in asked if task.done()]
    assert 0 < len(asked) - len(refused) < 100
    assert all(isinstance(error, AdapterUnavailable) and error.retry_after_s for error in refused)
    engine.gate.set()
    served = [task for task in asked if not task.done()]
    assert {(await task).name for task in served} == set(engine.added)


async def settled() -> None:
    """Until no load is going on."""
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0.001)


async def test_a_fault_takes_its_adapter_out_of_service_and_no_other(
    lora_library: LoraLibrary, engine: StubEngine, registry: CollectorRegistry
) -> None:
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    bad, good = await held(lora_library, a), await held(lora_library, b)
    reason = f"adapter {a[:12]} gave logits that are not finite; it is out of service"
    assert [lora_library.take_out(bad).message for _ in range(2)] == [reason] * 2, "two rows of one batch"
    assert registry.get_sample_value("unlearning_adapter_faults_total") == 1, "once a batch"
    await lora_library.release(bad)
    for digests in ([a], [b, a]):
        with pytest.raises(AdapterUnavailable, match=reason):
            await lora_library.acquire(digests)
    assert await held(lora_library, b) is good


async def test_the_second_fault_is_for_good(
    lora_library: LoraLibrary, engine: StubEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first may have come from what another left in the cache."""
    digest = engine.store(offset_artifact(1))
    offset = await held(lora_library, digest)
    now = 1000.0
    monkeypatch.setattr("gateway.engine.residency.loras.time.monotonic", lambda: now)
    lora_library.take_out(offset)
    with pytest.raises(AdapterUnavailable, match="out of service"):
        await lora_library.acquire([digest])
    now += RETRY_AFTER_S
    assert await lora_library.acquire([digest]) is offset
    lora_library.take_out(offset)
    now += 1e9
    with pytest.raises(AdapterUnavailable, match="out of service"):
        await lora_library.acquire([digest])


async def test_a_merge_that_is_out_of_service_leaves_its_parts_in_it(
    lora_library: LoraLibrary, engine: StubEngine
) -> None:
    a, b = engine.store(offset_artifact(1)), engine.store(offset_artifact(2))
    lora_library.take_out(await held(lora_library, a, b))
    with pytest.raises(AdapterUnavailable, match="not finite"):
        await lora_library.acquire([b, a])
    for digest in (a, b):
        assert (await held(lora_library, digest)).name == digest


async def rotate(lora_library: LoraLibrary, digests: Iterable[str]) -> None:
    """One request after another."""
    for digest in digests:
        await lora_library.release(await lora_library.acquire([digest]))


async def test_of_those_that_nobody_holds_the_least_recently_used_go(engine: StubEngine, tmp_path: Path) -> None:
    lora_library = library(engine, tmp_path, kept=1)
    a, b, c, d = (engine.store(offset_artifact(seed)) for seed in range(4))
    running = await held(lora_library, a)
    await rotate(lora_library, (b, c, d))
    assert folders(tmp_path) == {a, c, d}, "one that is not held, and the last"
    await lora_library.release(running)
    await rotate(lora_library, (b,))
    assert folders(tmp_path) == {lora.name for lora in engine.loaded.values()} == {d, b}


async def test_sets_that_come_again_are_not_pushed_out_by_those_that_come_once(
    engine: StubEngine, tmp_path: Path
) -> None:
    lora_library = library(engine, tmp_path, kept=8)
    content = offset_artifact().to_bytes()
    engine.artifacts = {f"digest-{number}": content for number in range(100)}
    often, once = list(engine.artifacts)[:4], list(engine.artifacts)[4:]
    await rotate(lora_library, often * 2)
    await rotate(lora_library, once)
    await rotate(lora_library, often)
    assert engine.added == [*often, *once]


async def test_what_came_often_and_comes_no_more_goes(engine: StubEngine, tmp_path: Path) -> None:
    lora_library = library(engine, tmp_path, kept=4)
    content = offset_artifact().to_bytes()
    engine.artifacts = {f"digest-{number}": content for number in range(20)}
    digests = list(engine.artifacts)
    await rotate(lora_library, digests[:4] * 2)
    for digest in digests[4:]:
        await rotate(lora_library, [digest] * 2)
    assert not folders(tmp_path) & set(digests[:4])


async def test_many_more_sets_than_are_kept_each_get_their_own(engine: StubEngine, tmp_path: Path) -> None:
    """Twice around: what is kept stays bounded, and no set is served with another's LoRA."""
    lora_library = library(engine, tmp_path, kept=64)
    content = offset_artifact().to_bytes()
    engine.artifacts = {f"digest-{number}": content for number in range(128)}
    for digest in [*engine.artifacts] * 2:
        lora = await held(lora_library, digest)
        assert (lora.name, engine.loaded[lora.id]) == (digest, lora)
        await lora_library.release(lora)
        assert len(engine.loaded) <= 65


async def test_numbers_begin_again_where_they_end_and_spare_those_in_use(
    engine: StubEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.engine.residency.loras._MOST_IDS", 6)
    lora_library = library(engine, tmp_path, kept=1)
    content = offset_artifact().to_bytes()
    engine.artifacts = {f"digest-{number}": content for number in range(20)}
    first, *others = engine.artifacts
    running = await held(lora_library, first)
    await rotate(lora_library, others)
    assert engine.loaded[running.id] is running
    assert set(engine.loaded) < set(range(1, 6))


async def test_there_are_as_many_as_requests_hold_and_no_id_comes_twice(engine: StubEngine, tmp_path: Path) -> None:
    lora_library = library(engine, tmp_path, kept=2)
    content = offset_artifact().to_bytes()
    engine.artifacts = {f"digest-{number}": content for number in range(300)}
    taken = [await held(lora_library, digest) for digest in engine.artifacts]
    assert engine.loaded == {lora.id: lora for lora in taken}
    for lora in taken:
        await lora_library.release(lora)
    await lora_library.evict("digest-7")
    again = await held(lora_library, "digest-7")
    assert again.id not in {0, *(lora.id for lora in taken)}


def test_a_merge_has_a_name_of_its_own_whatever_the_order() -> None:
    artifacts: list[Artifact] = [offset_artifact(seed) for seed in range(3)]
    a, b, c = (artifact.digest for artifact in artifacts)
    assert set_name([a]) == a
    assert set_name([a, b, c]) == set_name([c, a, b])
    assert len({set_name(names) for names in ([a, b], [b, c], [a, c], [a, b, c])}) == 4


async def test_a_lora_on_the_target_is_loaded_like_an_offset(lora_library: LoraLibrary, engine: StubEngine) -> None:
    loaded = await held(lora_library, engine.store(target_artifact()))
    assert engine.modules[loaded.id] == sorted(f"target.{name}" for name in SHAPES)
    assert engine.plain == {loaded.id: True}


@pytest.mark.parametrize(("kind", "parameter", "plain"), [(DELTA, 0, True), (ULD, 0.1, False)])
async def test_an_offset_and_a_lora_on_the_target_are_one_lora(
    lora_library: LoraLibrary, engine: StubEngine, kind: str, parameter: float, plain: bool
) -> None:
    """An offset of any kind: the two change different layers, so there is nothing that would have to add up."""
    digests = [engine.store(offset_artifact(1, kind=kind, parameter=parameter)), engine.store(target_artifact(2))]
    loaded = await held(lora_library, *digests)
    assert loaded.name == set_name(digests)
    assert engine.modules[loaded.id] == sorted(f"{part}.{name}" for part in ("offset", "target") for name in SHAPES)
    assert engine.plain == {loaded.id: plain}
    assert await held(lora_library, *reversed(digests)) is loaded
    assert engine.added == [loaded.name]

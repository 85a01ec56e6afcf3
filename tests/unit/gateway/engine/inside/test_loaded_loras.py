"""LoRAs are named by the files that a worker has loaded, whenever it loads them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed

from adapters.artifact.spec import DD_RANK
from gateway.engine.inside import loaded_loras
from gateway.engine.inside.loaded_loras import LoadedLoras
from gateway.engine.residency.lora_folder import Contents, write_lora_folder
from gateway.engine.statement import UNKNOWN
from tests.unit.gateway.engine.samples import offset_artifact


class Manager:
    """vLLM's, as far as it loads folders and keeps `slots` of them in slots."""

    def __init__(self, slots: int = 2) -> None:
        self.folders: dict[int, str] = {}
        registered = SimpleNamespace(pinned_items=set())
        self._adapter_manager = SimpleNamespace(lora_index_to_id=[None] * slots, _registered_adapters=registered)

    def _load_adapter(self, request: Any) -> str:
        if not Path(request.lora_path).is_dir():
            raise FileNotFoundError(request.lora_path)
        return str(request.lora_path)

    def list_adapters(self) -> set[int]:
        return set(self.folders)

    def add(self, lora: int, folder: Path) -> None:
        self.folders[lora] = self._load_adapter(SimpleNamespace(lora_int_id=lora, lora_path=str(folder)))
        slots = self._adapter_manager.lora_index_to_id
        if lora not in slots:
            slots[:] = [*slots[1:], lora]


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager = Manager()
        self.model = SimpleNamespace(without_offset=frozenset(), needs_both_logits=False)
        self.loras = LoadedLoras(self.manager, self.model)
        for number in range(4):
            write_lora_folder(offset_artifact(number), folder / str(number), [f"d{number}"])

    def add(self, lora: int, number: int | None = None) -> None:
        self.manager.add(lora, self.folder / str(lora if number is None else number))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(loaded_loras, "get_tp_group", lambda: SimpleNamespace(world_size=1))
    return World(tmp_path)


def test_what_is_loaded_is_named_by_its_folder(world: World) -> None:
    world.add(1)
    world.add(2)
    world.add(3)
    assert world.loras.active() == {2: "d2", 3: "d3"}
    assert world.loras.resident() == [("d1", False, False), ("d2", True, False), ("d3", True, False)]


def test_a_folder_that_changed_is_noticed_when_it_is_loaded_again(world: World) -> None:
    world.add(1)
    world.add(1, number=2)
    assert world.loras.active() == {1: "d2"}
    (world.folder / "3" / "contents.json").unlink()
    world.add(1, number=3)
    assert world.loras.active() == {1: UNKNOWN}


def test_a_load_that_fails_leaves_what_is_in_the_slots(world: World) -> None:
    world.add(1)
    for lora in (1, 2):
        with pytest.raises(FileNotFoundError):
            world.add(lora, number=9)
    assert world.loras.active() == {1: "d1"}


def test_names_of_what_vllm_has_dropped_go(world: World) -> None:
    for lora in range(1, 4):
        world.add(lora)
    del world.manager.folders[1]
    world.add(2)
    assert world.loras.resident() == [("d2", True, False), ("d3", True, False)]
    assert len(world.loras._loaded) == 2


def test_an_offset_whose_pair_does_not_run_is_not_applied(world: World) -> None:
    world.add(1)
    world.model.without_offset = frozenset({1})
    assert world.loras.active() == {1: UNKNOWN}


def test_an_offset_that_is_no_plain_sum_is_not_applied_as_one(world: World, tmp_path: Path) -> None:
    write_lora_folder(offset_artifact(kind=DD_RANK, parameter=5), tmp_path / "rank", ["r"])
    world.manager.add(1, tmp_path / "rank")
    assert world.loras.active() == {1: UNKNOWN}
    world.model.needs_both_logits = True
    assert world.loras.active() == {1: "r"}


@pytest.mark.parametrize(
    ("others", "name"),
    [(Contents("d1", True, True), "d1"), (Contents("d2", True, True), UNKNOWN), (Contents(), UNKNOWN)],
)
def test_it_is_believed_where_all_ranks_have_read_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, others: Contents, name: str
) -> None:
    def gather(everyone: list[Any], read: Any, group: str) -> None:
        assert group == "gloo"
        everyone[:] = [read, others]

    monkeypatch.setattr(loaded_loras, "get_tp_group", lambda: SimpleNamespace(world_size=2, cpu_group="gloo"))
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    world.add(1)
    assert world.loras.active() == {1: name}


def test_an_engine_that_takes_none_has_none(world: World) -> None:
    loras = LoadedLoras(None, world.model)
    assert (loras.active(), loras.resident()) == ({}, [])

"""What is written is what vLLM's own loader reads back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from vllm.config.lora import LoRAConfig
from vllm.lora.lora_model import LoRAModel
from vllm.lora.peft_helper import PEFTHelper

from adapters.artifact.artifact import Artifact
from adapters.artifact.spec import DD_LINEAR, DD_RANK, DELTA, ULD
from gateway.engine.inside.combine import KIND, OFFSET, PARAMETER, PRESENT, REFERENCE, RULE_WIDTH, TARGET, Kind
from gateway.engine.residency.lora_folder import (
    Contents,
    changes_target,
    engine_name,
    module_names,
    read_contents,
    write_lora_folder,
)
from gateway.engine.statement import UNKNOWN, set_name
from tests.unit.gateway.engine.samples import SHAPES, offset_artifact, target_artifact

EXPECTED = {name.rpartition(".")[2] for name in SHAPES} | {"rule", "mark"}


def load(folder: Path) -> LoRAModel:
    """As vLLM's worker loads a LoRA."""
    helper = PEFTHelper.from_local_dir(str(folder), 2048)
    helper.validate_legal(LoRAConfig(max_lora_rank=8, max_loras=1))
    return LoRAModel.from_local_checkpoint(
        str(folder), EXPECTED, helper, lora_model_id=1, device="cpu", dtype=torch.bfloat16
    )


def written(artifact: Artifact, folder: Path) -> LoRAModel:
    write_lora_folder(artifact, folder / "adapter", [artifact.digest])
    return load(folder / "adapter")


def constants(model: LoRAModel, name: str = "pair.rule") -> torch.Tensor:
    """What the engine's rule layer, fed with ones, gives a token of this adapter."""
    layer = model.loras[name]
    ones = torch.ones(RULE_WIDTH, dtype=torch.bfloat16)
    rule: torch.Tensor = (layer.lora_b @ (layer.lora_a @ ones)).float() * layer.scaling
    return rule


@pytest.mark.parametrize(("kind", "halves"), [(DELTA, ["offset"]), (DD_LINEAR, ["offset", "reference"])])
def test_layers_come_back_under_the_engines_names(tmp_path: Path, kind: str, halves: list[str]) -> None:
    artifact = offset_artifact(kind=kind, rows=3)
    model = written(artifact, tmp_path)
    names = [f"{half}.{layer}" for half in halves for layer in SHAPES]
    assert module_names(artifact) == sorted(names)
    assert set(model.loras) == {f"pair.{name}" for name in names} | {"pair.rule"}
    for name in names:
        layer = model.loras[f"pair.{name}"]
        assert layer.scaling == 1
        assert torch.equal(layer.lora_a, artifact.tensors[f"{name}.lora_A"])
        assert torch.equal(layer.lora_b, artifact.tensors[f"{name}.lora_B"])


@pytest.mark.parametrize("strength", [0.5, 1.0, 1.1, 1 / 3, 7.77])
@pytest.mark.parametrize(
    ("kind", "parameter", "offset", "reference", "acts"),
    [
        (DELTA, 0.0, 1, -1, Kind.LINEAR),
        (DD_LINEAR, 0.0, 1, -1, Kind.LINEAR),
        (ULD, 0.013, -1, 0, Kind.FILTERED),
    ],
)
def test_the_rule_comes_out_of_the_rule_layer(
    tmp_path: Path, kind: str, parameter: float, offset: int, reference: int, acts: Kind, strength: float
) -> None:
    rule = constants(written(offset_artifact(kind=kind, strength=strength, parameter=parameter), tmp_path))
    factors = [float(rule[at] + rule[at + 1]) for at in (OFFSET, REFERENCE, PARAMETER)]
    assert factors == pytest.approx([offset * strength, reference * strength, parameter], abs=1e-3)
    assert factors[2] == pytest.approx(parameter, rel=1e-3)
    assert rule[[KIND, PRESENT]].tolist() == [acts, 1]


def test_the_rank_form_compares_the_states_as_they_are(tmp_path: Path) -> None:
    """Its strength is of no consequence: only the order of the difference counts."""
    rule = constants(written(offset_artifact(kind=DD_RANK, strength=3.0, parameter=321.0), tmp_path))
    assert [float(rule[at] + rule[at + 1]) for at in (OFFSET, REFERENCE, PARAMETER)] == [1, -1, 321]
    assert rule[KIND] == Kind.RANK


def test_a_folder_that_is_there_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    written(offset_artifact(seed=1, strength=2.0), tmp_path)
    (tmp_path / "adapter" / "stray").touch()
    model = written(offset_artifact(seed=2), tmp_path)
    (layer, *_) = SHAPES
    assert torch.equal(
        model.loras[f"pair.offset.{layer}"].lora_a, offset_artifact(seed=2).tensors[f"offset.{layer}.lora_A"]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "contents.json",
    }


def test_a_folder_says_which_adapters_it_is(tmp_path: Path) -> None:
    offset, target = offset_artifact(), target_artifact()
    write_lora_folder(offset, tmp_path / "one", ["a"])
    write_lora_folder(target, tmp_path / "several", ["b", "a"])
    write_lora_folder(target_artifact(beside=offset), tmp_path / "both", ["c"])
    write_lora_folder(offset_artifact(kind=ULD, parameter=0.1), tmp_path / "filtered", ["d"])
    assert read_contents(tmp_path / "one") == Contents("a", changes_pair=True, plain_sum=True)
    name = set_name(["a", "b"])
    assert read_contents(tmp_path / "several") == Contents(name, changes_pair=False, plain_sum=True)
    assert read_contents(tmp_path / "both") == Contents("c", changes_pair=True, plain_sum=True)
    assert read_contents(tmp_path / "filtered") == Contents("d", changes_pair=True, plain_sum=False)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "contents.json"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"not what was written", b"{}"])
def test_a_folder_that_is_not_as_it_was_written_is_unknown(tmp_path: Path, name: str, content: bytes | None) -> None:
    write_lora_folder(offset_artifact(), tmp_path / "adapter", ["a"])
    path = tmp_path / "adapter" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert read_contents(tmp_path / "adapter") == Contents()


def test_the_weights_of_another_adapter_are_unknown(tmp_path: Path) -> None:
    for number in (1, 2):
        write_lora_folder(offset_artifact(number), tmp_path / str(number), [str(number)])
    (tmp_path / "2" / "adapter_model.safetensors").replace(tmp_path / "1" / "adapter_model.safetensors")
    assert read_contents(tmp_path / "1").name == UNKNOWN


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.engine.residency.lora_folder.save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_lora_folder(offset_artifact(), tmp_path / "adapter", ["a"])
    assert list(tmp_path.iterdir()) == []


def test_a_lora_on_the_target_comes_back_under_the_targets_names_and_marks_its_tokens(tmp_path: Path) -> None:
    artifact = target_artifact()
    model = written(artifact, tmp_path)
    assert module_names(artifact) == sorted(f"target.{layer}" for layer in SHAPES)
    assert set(model.loras) == {f"target.{layer}" for layer in SHAPES} | {"mark"}
    for name in module_names(artifact):
        assert torch.equal(model.loras[name].lora_a, artifact.tensors[f"{name}.lora_A"])
        assert torch.equal(model.loras[name].lora_b, artifact.tensors[f"{name}.lora_B"])
        assert model.loras[name].scaling == 1
    mark = constants(model, "mark")
    assert mark.nonzero().flatten().tolist() == [TARGET]
    assert mark[TARGET] == 1


@pytest.mark.parametrize(("offset_rank", "target_rank"), [(2, 5), (5, 2)])
def test_beside_an_offset_each_keeps_its_own_rank_and_its_own_rule(
    tmp_path: Path, offset_rank: int, target_rank: int
) -> None:
    offset = offset_artifact(rank=offset_rank, strength=0.5)
    model = written(target_artifact(rank=target_rank, beside=offset), tmp_path)
    assert model.rank == 5
    for layer in SHAPES:
        assert model.loras[f"pair.offset.{layer}"].lora_a.shape[0] == offset_rank
        assert model.loras[f"target.{layer}"].lora_b.shape[1] == target_rank
    (tmp_path / "alone").mkdir()
    assert torch.equal(constants(model), constants(written(offset, tmp_path / "alone")))
    assert all(layer.scaling == 1 for layer in model.loras.values())


def test_modules_are_named_for_the_engine() -> None:
    assert [engine_name(name) for name in ("offset.a", "reference.a", "target.a")] == [
        "pair.offset.a",
        "pair.reference.a",
        "target.a",
    ]
    assert [changes_target(name) for name in ("offset.target.a", "target.a")] == [False, True]

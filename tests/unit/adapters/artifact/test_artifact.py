from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from adapters.artifact.artifact import Artifact, Manifest, model_digest
from adapters.artifact.spec import DD_LINEAR, DELTA, OffsetSpec, PairSpec
from adapters.errors import InvalidArtifact

MANIFEST = Manifest(
    format=3,
    method="spul",
    hidden_size=8,
    rows=3,
    dtype="bfloat16",
    model_digest="a" * 64,
    config={"beta": 1.0},
    seed=0,
    created_by="test",
)


def make(manifest: Manifest = MANIFEST) -> Artifact:
    values = torch.linspace(-1, 1, 24).reshape(3, 8).to(torch.bfloat16)
    return Artifact(manifest, {"soft_prompt": values})


def test_round_trip_keeps_everything() -> None:
    artifact = make()
    again = Artifact.from_bytes(artifact.to_bytes(), expect_digest=artifact.digest)
    assert again.manifest == MANIFEST
    assert torch.equal(again.tensors["soft_prompt"], artifact.tensors["soft_prompt"])
    assert again.digest == artifact.digest


def test_bytes_depend_on_the_content_alone() -> None:
    assert make().to_bytes() == make().to_bytes()
    assert make().digest != make(replace(MANIFEST, seed=1)).digest


def test_another_digest_is_refused() -> None:
    with pytest.raises(InvalidArtifact, match="digest"):
        Artifact.from_bytes(make().to_bytes(), expect_digest="0" * 64)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:6],
        lambda data: data[:-4],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data[:8] + b"\xff" + data[9:],
        lambda data: data + b"tail",
        lambda data: save({"soft_prompt": torch.zeros(3, 8)}),
        lambda data: save({"soft_prompt": torch.zeros(3, 8)}, metadata={"manifest": "{"}),
        lambda data: save({"soft_prompt": torch.zeros(3, 8)}, metadata={"manifest": "[]"}),
    ],
)
def test_malformed_bytes_are_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidArtifact):
        Artifact.from_bytes(damage(make().to_bytes()))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused_in_both_directions(value: float) -> None:
    bad = torch.zeros(3, 8, dtype=torch.bfloat16)
    bad[1, 2] = value
    with pytest.raises(InvalidArtifact, match="finite"):
        Artifact(MANIFEST, {"soft_prompt": bad}).to_bytes()
    with pytest.raises(InvalidArtifact, match="finite"):
        Artifact.from_bytes(save({"soft_prompt": bad}, metadata={"manifest": MANIFEST.to_json()}))


@pytest.mark.parametrize(
    "manifest",
    [
        replace(MANIFEST, rows=4),
        replace(MANIFEST, hidden_size=16),
        replace(MANIFEST, rows=0),
        replace(MANIFEST, dtype="float32"),
        replace(MANIFEST, format=2),
    ],
)
def test_a_manifest_that_contradicts_the_tensors_is_refused(manifest: Manifest) -> None:
    data = save(dict(make().tensors), metadata={"manifest": manifest.to_json()})
    with pytest.raises(InvalidArtifact):
        Artifact.from_bytes(data)


def test_a_manifest_with_a_field_too_many_or_of_a_wrong_type_is_refused() -> None:
    plain = json.loads(MANIFEST.to_json())
    for changed in (
        {**plain, "text": "x"},
        {**plain, "rows": "3"},
        {**plain, "rows": True},
        {**plain, "target_rank": None},
    ):
        with pytest.raises(InvalidArtifact):
            Manifest.from_json(json.dumps(changed))


def test_another_models_width_or_digest_is_refused() -> None:
    artifact = make()
    artifact.require(hidden_size=8, model_digest="a" * 64)
    with pytest.raises(InvalidArtifact, match="8 wide"):
        artifact.require(hidden_size=576)
    with pytest.raises(InvalidArtifact, match="another model"):
        artifact.require(hidden_size=8, model_digest="b" * 64)


PAIR = PairSpec(2)
OFFSET = replace(MANIFEST, method="delta", rows=0, dtype="float32", offset=OffsetSpec(DELTA, 0.75, 2, PAIR))
BOTH_HALVES = replace(OFFSET, offset=OffsetSpec(DD_LINEAR, 0.75, 2, PairSpec(2, own_reference=True)))


def lora(layer: str, rank: int = 2) -> dict[str, torch.Tensor]:
    values = torch.linspace(-1, 1, 12 * rank)
    lora_a, lora_b = values[: 5 * rank].reshape(rank, 5), values[5 * rank :].reshape(7, rank)
    return {f"{layer}.lora_A": lora_a, f"{layer}.lora_B": lora_b}


LORA = {**lora("offset.model.layers.0.q"), **lora("offset.model.layers.1.q")}
REFERENCE = lora("reference.model.layers.0.q")
SOFT = {"soft_prompt": torch.zeros(3, 8)}
TARGET = replace(MANIFEST, method="lora", rows=0, dtype="float32", target_rank=3)
ON_TARGET = {**lora("target.model.layers.0.q", 3), **lora("target.model.layers.1.q", 3)}


@pytest.mark.parametrize(
    ("manifest", "tensors"),
    [
        (OFFSET, LORA),
        (BOTH_HALVES, {**LORA, **REFERENCE}),
        (replace(OFFSET, rows=3), {**LORA, **SOFT}),
        (TARGET, ON_TARGET),
        (replace(TARGET, rows=3), {**ON_TARGET, **SOFT}),
        (replace(OFFSET, target_rank=3), {**LORA, **ON_TARGET}),
        (replace(BOTH_HALVES, target_rank=3, rows=3), {**LORA, **REFERENCE, **ON_TARGET, **SOFT}),
    ],
)
def test_a_lora_round_trip_keeps_everything(manifest: Manifest, tensors: dict[str, torch.Tensor]) -> None:
    artifact = Artifact(manifest, tensors)
    again = Artifact.from_bytes(artifact.to_bytes(), expect_digest=artifact.digest)
    assert again.manifest == manifest
    assert again.tensors.keys() == tensors.keys()
    assert all(torch.equal(again.tensors[name], tensor) for name, tensor in tensors.items())


def without(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("manifest", "tensors", "message"),
    [
        (replace(OFFSET, offset=None), LORA, "belong together"),
        (replace(OFFSET, rows=3), SOFT, "belong together"),
        (replace(OFFSET, rows=3, offset=None), {**SOFT, **LORA}, "belong together"),
        (OFFSET, {}, "no tensor"),
        (replace(OFFSET, rows=3), LORA, "soft prompt's shape None"),
        (OFFSET, {**LORA, **SOFT}, "soft prompt's shape"),
        (OFFSET, REFERENCE, "under offset, and no others"),
        (OFFSET, {**LORA, **REFERENCE}, "under offset, and no others"),
        (BOTH_HALVES, LORA, "under offset and reference, and no others"),
        (OFFSET, {**LORA, "other": torch.zeros(2, 2)}, "under offset, and no others"),
        (OFFSET, without(LORA, "offset.model.layers.0.q.lora_A"), "layers.0.q.lora_B is not one of a pair"),
        (OFFSET, without(LORA, "offset.model.layers.1.q.lora_B"), "layers.1.q.lora_A is not one of a pair"),
        (OFFSET, {**LORA, "offset.model.norm.weight": torch.zeros(2, 2)}, "norm.weight is not one of a pair"),
        (OFFSET, {**LORA, "offset.model.layers.0.q.lora_A": torch.zeros(2)}, "lora_A is not one of a pair"),
        (OFFSET, {**LORA, **lora("offset.model.layers.0.q", 3)}, "not of the manifest's rank"),
        (OFFSET, {**LORA, "offset.model.layers.0.q.lora_B": torch.zeros(2, 7)}, "lora_B is not of the manifest's rank"),
        (OFFSET, {name: tensor.bfloat16() for name, tensor in LORA.items()}, "dtype"),
        (OFFSET, {**LORA, "offset.model.layers.0.q.lora_A": torch.full((2, 5), torch.nan)}, "finite"),
        (TARGET, {}, "no tensor"),
        (TARGET, LORA, "belong together"),
        (OFFSET, {**LORA, **ON_TARGET}, "a target's LoRA and its rank"),
        (replace(OFFSET, target_rank=3), LORA, "a target's LoRA and its rank"),
        (replace(TARGET, target_rank=-3), ON_TARGET, "a target's LoRA and its rank"),
        (replace(TARGET, target_rank=2), ON_TARGET, "not of the manifest's rank"),
        (TARGET, without(ON_TARGET, "target.model.layers.0.q.lora_A"), "layers.0.q.lora_B is not one of a pair"),
        (TARGET, {**ON_TARGET, "target.model.norm.weight": torch.zeros(3, 3)}, "norm.weight is not one of a pair"),
    ],
)
def test_lora_tensors_that_contradict_the_manifest_are_refused_in_both_directions(
    manifest: Manifest, tensors: dict[str, torch.Tensor], message: str
) -> None:
    with pytest.raises(InvalidArtifact, match=message):
        Artifact(manifest, tensors).to_bytes()
    with pytest.raises(InvalidArtifact, match=message):
        Artifact.from_bytes(save(tensors, metadata={"manifest": manifest.to_json()}))


def test_a_manifest_whose_offset_is_damaged_is_refused() -> None:
    plain = json.loads(OFFSET.to_json())
    assert Manifest.from_json(json.dumps(plain)) == OFFSET
    for offset in ("delta", {}, {**plain["offset"], "text": "x"}, {**plain["offset"], "strength": 11}):
        with pytest.raises(InvalidArtifact):
            Manifest.from_json(json.dumps({**plain, "offset": offset}))
    del plain["offset"]
    with pytest.raises(InvalidArtifact, match="exactly the fields"):
        Manifest.from_json(json.dumps(plain))


def test_an_offset_requires_the_pair_it_was_made_for() -> None:
    artifact = Artifact(OFFSET, LORA)
    artifact.require(hidden_size=8, pair=PAIR)
    artifact.require(hidden_size=8, pair=replace(PAIR, own_reference=True))
    with pytest.raises(InvalidArtifact, match="no pair"):
        artifact.require(hidden_size=8)
    with pytest.raises(InvalidArtifact, match="first 2 layers, not of the target's first 3 layers"):
        artifact.require(hidden_size=8, pair=PairSpec(3))
    with pytest.raises(InvalidArtifact, match="made for a pair"):
        artifact.require(hidden_size=8, pair=PairSpec(0, "c" * 64))


def test_a_lora_on_the_target_requires_a_target_that_takes_one() -> None:
    artifact = Artifact(TARGET, ON_TARGET)
    artifact.require(hidden_size=8, target_lora=True)
    for pair in (None, PAIR):
        with pytest.raises(InvalidArtifact, match="takes none"):
            artifact.require(hidden_size=8, pair=pair)
    both = Artifact(replace(OFFSET, target_rank=3), {**LORA, **ON_TARGET})
    both.require(hidden_size=8, pair=PAIR, target_lora=True)
    with pytest.raises(InvalidArtifact, match="no pair"):
        both.require(hidden_size=8, target_lora=True)


def test_a_soft_prompt_is_served_with_any_pair_or_none() -> None:
    for pair in (None, PAIR):
        make().require(hidden_size=8, model_digest="a" * 64, pair=pair)


def test_model_digest_follows_the_weights_and_the_config_only(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidArtifact):
        model_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = model_digest(tmp_path)
    (tmp_path / "README.md").write_text("notes")
    assert model_digest(tmp_path) == first
    (tmp_path / "model.safetensors").write_bytes(b"two")
    second = model_digest(tmp_path)
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert len({first, second, model_digest(tmp_path)}) == 3

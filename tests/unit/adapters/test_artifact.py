from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from adapters.artifact import Artifact, Manifest, model_digest
from adapters.errors import InvalidArtifact

MANIFEST = Manifest(
    format=1,
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
    for changed in ({**plain, "text": "x"}, {**plain, "rows": "3"}, {**plain, "rows": True}):
        with pytest.raises(InvalidArtifact):
            Manifest.from_json(json.dumps(changed))


def test_another_models_width_or_digest_is_refused() -> None:
    artifact = make()
    artifact.require(hidden_size=8, model_digest="a" * 64)
    with pytest.raises(InvalidArtifact, match="8 wide"):
        artifact.require(hidden_size=576)
    with pytest.raises(InvalidArtifact, match="another model"):
        artifact.require(hidden_size=8, model_digest="b" * 64)


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

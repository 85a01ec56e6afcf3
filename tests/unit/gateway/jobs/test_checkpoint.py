from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from adapters.pair_source import PairSource
from gateway.checkpoints.digests import CheckpointDigests
from gateway.jobs.checkpoint import checkpoint, pair_source
from gateway.jobs.failures import CheckpointMismatch, CheckpointUnavailable
from gateway.settings import Settings


def of(model: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {"model": model, **changes}
    return Settings(**values)


@pytest.fixture
def digests(tmp_path: Path) -> CheckpointDigests:
    return CheckpointDigests(tmp_path / "cache")


def test_a_folder(checkpoint_dir: Path, digests: CheckpointDigests) -> None:
    assert checkpoint(of(str(checkpoint_dir)), model_digest(checkpoint_dir), digests) == checkpoint_dir


def test_another_model_than_the_one_registered_for(checkpoint_dir: Path, digests: CheckpointDigests) -> None:
    with pytest.raises(CheckpointMismatch):
        checkpoint(of(str(checkpoint_dir)), "0" * 64, digests)


@pytest.mark.parametrize("model", ["/nowhere/at/all", "unlearning-gateway/no-such-model"])
def test_a_model_that_is_not_there(model: str, digests: CheckpointDigests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointUnavailable):
        checkpoint(of(model), "0" * 64, digests)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder of a target of thirty layers."""
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 30}))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "spec"),
    [
        ({}, PairSpec(8)),
        ({"offset_layers": 3}, PairSpec(3)),
        ({"offset_layers": 3, "offset_reference": "own"}, PairSpec(3, own_reference=True)),
        ({"offset_reference": "own"}, PairSpec(8, own_reference=True)),
        ({"methods": "spul,delta,lora"}, PairSpec(8, own_reference=True)),
    ],
)
def test_a_pair_of_the_targets_layers(
    target: Path, changes: dict[str, Any], spec: PairSpec, digests: CheckpointDigests
) -> None:
    assert pair_source(of(str(target), **changes), target, digests) == PairSource(spec)


@pytest.mark.parametrize("reference", ["shared", "own"])
def test_a_pair_of_a_separate_model(
    target: Path, checkpoint_dir: Path, reference: str, digests: CheckpointDigests
) -> None:
    settings = of(str(target), offset_model=str(checkpoint_dir), offset_reference=reference)
    spec = PairSpec(0, model_digest(checkpoint_dir), reference == "own")
    assert pair_source(settings, target, digests) == PairSource(spec, checkpoint_dir)


def test_a_separate_model_that_is_not_there(
    target: Path, digests: CheckpointDigests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointUnavailable, match="no-such-model"):
        pair_source(of(str(target), offset_model="unlearning-gateway/no-such-model"), target, digests)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.artifact.artifact import model_digest
from adapters.artifact.spec import PairSpec
from gateway.checkpoints.digests import CheckpointDigests
from gateway.jobs.checkpoint import checkpoint, local_pair
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


LAYERS = PairSpec(8, own_reference=True)


def test_a_pair_of_the_targets_layers_needs_no_folder(digests: CheckpointDigests) -> None:
    assert local_pair(LAYERS, of("target", offset_model="/nowhere"), digests) is LAYERS


@pytest.mark.parametrize("changes", [{}, {"offset_model": "here"}])
def test_a_separate_model(checkpoint_dir: Path, changes: dict[str, str], digests: CheckpointDigests) -> None:
    theirs = "/a/folder/of/another/host" if changes else str(checkpoint_dir)
    pair = PairSpec(0, model_digest(checkpoint_dir), own_reference=True, model=theirs)
    settings = of("target", **{name: str(checkpoint_dir) for name in changes})
    found = local_pair(pair, settings, digests)
    assert (found, found.model) == (pair, str(checkpoint_dir))


def test_another_small_model_than_the_one_registered_for(checkpoint_dir: Path, digests: CheckpointDigests) -> None:
    with pytest.raises(CheckpointMismatch, match="small model"):
        local_pair(PairSpec(0, "0" * 64, model=str(checkpoint_dir)), of("target"), digests)


def test_a_separate_model_that_is_not_there(digests: CheckpointDigests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointUnavailable, match="no-such-model"):
        local_pair(PairSpec(0, "0" * 64, model="unlearning-gateway/no-such-model"), of("target"), digests)

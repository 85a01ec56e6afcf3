from __future__ import annotations

from pathlib import Path

import pytest

from adapters.artifact import model_digest
from gateway.config import Settings
from gateway.jobs.checkpoint import checkpoint
from gateway.jobs.failures import CheckpointMismatch, CheckpointUnavailable


def of(model: str) -> Settings:
    values: dict[str, str] = {"model": model}
    return Settings(**values)  # type: ignore[arg-type]


def test_a_folder(checkpoint_dir: Path) -> None:
    assert checkpoint(of(str(checkpoint_dir)), model_digest(checkpoint_dir)) == checkpoint_dir


def test_another_model_than_the_one_registered_for(checkpoint_dir: Path) -> None:
    with pytest.raises(CheckpointMismatch):
        checkpoint(of(str(checkpoint_dir)), "0" * 64)


@pytest.mark.parametrize("model", ["/nowhere/at/all", "unlearning-gateway/no-such-model"])
def test_a_model_that_is_not_there(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointUnavailable):
        checkpoint(of(model), "0" * 64)

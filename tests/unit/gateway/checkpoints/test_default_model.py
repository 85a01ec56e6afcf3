"""The default model is prepared once, in the form the engine and the trainer take."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from gateway.checkpoints import default_model
from gateway.checkpoints.default_model import DefaultModelUnavailable, prepare
from gateway.settings import Settings


def test_it_is_a_plain_bfloat16_checkpoint_and_is_made_once() -> None:
    folder = prepare(Settings().cache_dir)
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert "quantization_config" not in config
    assert (folder / "tokenizer_config.json").is_file()
    made = (folder / "model.safetensors").stat().st_mtime_ns
    steps: list[str] = []
    assert prepare(Settings().cache_dir, lambda step, _done: steps.append(step)) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert set(steps) == {"checking the default model"}


def test_without_the_wheel_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DefaultModelUnavailable, match="--model"):
        prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_conversion_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_source: Path, folder: Path, _report: default_model.Progress) -> None:
        (folder / "half").write_text("done")
        raise OSError("disk full")

    monkeypatch.setattr(default_model, "_convert", fail)
    with pytest.raises(OSError, match="disk full"):
        prepare(tmp_path)
    assert list((tmp_path / "models").iterdir()) == []

"""A checkpoint is hashed once for as long as it stays as it is, whoever asks and however damaged the cache."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from adapters.artifact.artifact import model_digest
from adapters.errors import InvalidArtifact
from gateway.checkpoints.digests import CheckpointDigests

CACHE = "checkpoint-digests.json"


class Counting:
    """`model_digest`, noting what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Path] = []

    def __call__(self, path: Path) -> str:
        self.asked.append(path)
        return model_digest(path)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    _weights(folder, 1.0)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _weights(folder: Path, value: float) -> None:
    save_file({"weight": np.full((2, 4), value, dtype=np.float32)}, folder / "model.safetensors")


def test_one_process_hashes_once(checkpoint: Path, cache: Path) -> None:
    compute = Counting()
    digests = CheckpointDigests(cache, compute)
    assert {digests.of(checkpoint) for _ in range(3)} == {model_digest(checkpoint)}
    assert len(compute.asked) == 1


def test_what_another_process_hashed_is_not_hashed_again(checkpoint: Path, cache: Path) -> None:
    CheckpointDigests(cache).of(checkpoint)
    compute = Counting()
    assert CheckpointDigests(cache, compute).of(checkpoint) == model_digest(checkpoint)
    assert compute.asked == []


def _other_weights(folder: Path) -> None:
    _weights(folder, 2.0)


def _other_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"a": 1}')


def _one_more_file(folder: Path) -> None:
    save_file({"more": np.ones(1, dtype=np.float32)}, folder / "more.safetensors")


def _same_size_and_time(folder: Path) -> None:
    """Another file under the name: only the inode tells."""
    old = folder / "model.safetensors"
    stat = old.stat()
    old.rename(folder / "kept-so-that-the-inode-is-not-used-again")
    _weights(folder, 3.0)
    os.utime(old, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert old.stat().st_size == stat.st_size


@pytest.mark.parametrize("change", [_other_weights, _other_config, _one_more_file, _same_size_and_time])
@pytest.mark.parametrize("same_process", [True, False])
def test_a_change_is_seen(checkpoint: Path, cache: Path, change: Callable[[Path], None], same_process: bool) -> None:
    digests = CheckpointDigests(cache)
    before = digests.of(checkpoint)
    os.utime(checkpoint / "model.safetensors", ns=(0, 0))  # however coarse the clock of the file system
    os.utime(checkpoint / "config.json", ns=(0, 0))
    assert digests.of(checkpoint) == before
    change(checkpoint)
    asked = digests if same_process else CheckpointDigests(cache)
    assert asked.of(checkpoint) == model_digest(checkpoint) != before


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"format": 1}',
        b'{"format": 1, "sha256": "0", "checkpoints": {}}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_cache_is_made_again(checkpoint: Path, cache: Path, damage: bytes) -> None:
    CheckpointDigests(cache).of(checkpoint)
    (cache / CACHE).write_bytes(damage)
    compute = Counting()
    assert CheckpointDigests(cache, compute).of(checkpoint) == model_digest(checkpoint)
    assert len(compute.asked) == 1
    assert CheckpointDigests(cache, compute).of(checkpoint) == model_digest(checkpoint)
    assert len(compute.asked) == 1, "and is good again"


def test_a_digest_that_was_changed_is_not_believed(checkpoint: Path, cache: Path) -> None:
    right = CheckpointDigests(cache).of(checkpoint)
    text = (cache / CACHE).read_text()
    (cache / CACHE).write_text(text.replace(right, "0" * 64))
    assert CheckpointDigests(cache).of(checkpoint) == right


def test_several_checkpoints_are_kept_beside_one_another(checkpoint: Path, cache: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    _weights(other, 5.0)
    wanted = [CheckpointDigests(cache).of(folder) for folder in (checkpoint, other)]
    compute = Counting()
    again = CheckpointDigests(cache, compute)
    assert [again.of(folder) for folder in (checkpoint, other)] == wanted
    assert compute.asked == []


def test_one_that_changes_while_it_is_hashed_is_not_kept(checkpoint: Path, cache: Path) -> None:
    def compute(path: Path) -> str:
        digest = model_digest(path)
        _one_more_file(path)
        return digest

    CheckpointDigests(cache, compute).of(checkpoint)
    assert CheckpointDigests(cache).of(checkpoint) == model_digest(checkpoint)


def test_a_folder_that_is_no_checkpoint(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(InvalidArtifact, match="not a checkpoint folder"):
        CheckpointDigests(cache).of(tmp_path)


def test_a_cache_that_cannot_be_written_costs_time_alone(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file where the folder should be")
    digests = CheckpointDigests(tmp_path / "file" / "cache")
    assert digests.of(checkpoint) == model_digest(checkpoint)
    assert digests.of(checkpoint) == model_digest(checkpoint)


def _slow(path: Path) -> str:
    with (path.parent / "hashed").open("a") as handle:
        handle.write("x")
    time.sleep(0.5)
    return model_digest(path)


def _ask(cache: Path, checkpoint: Path, answers: Any) -> None:
    answers.put(CheckpointDigests(cache, _slow).of(checkpoint))


def test_processes_that_start_together_hash_once(checkpoint: Path, cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    processes = [context.Process(target=_ask, args=(cache, checkpoint, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    assert {answers.get(timeout=30) for _ in processes} == {model_digest(checkpoint)}
    for process in processes:
        process.join(timeout=30)
    assert (checkpoint.parent / "hashed").read_text() == "x"


def test_the_file_is_plain_and_says_what_it_covers(checkpoint: Path, cache: Path) -> None:
    digest = CheckpointDigests(cache).of(checkpoint)
    (entry,) = json.loads((cache / CACHE).read_text())["checkpoints"].values()
    assert entry["digest"] == digest
    assert [file[0] for file in entry["files"]] == ["config.json", "model.safetensors"]
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []

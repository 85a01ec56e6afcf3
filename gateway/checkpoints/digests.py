"""Digests of checkpoints, each hashed once: at a start of the service or for a job, whichever comes first.

A checkpoint of 16 GB takes minutes to hash and seldom changes. Its digest is kept in the cache directory beside what
its files looked like then; files that look otherwise are hashed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from adapters.artifact.artifact import checkpoint_files, model_digest

logger = logging.getLogger(__name__)

_FILE = "checkpoint-digests.json"
_FORMAT = 1

#: Of each file that a digest covers: name, size, time of the last change in nanoseconds, inode.
_Looks = list[list[Any]]


@dataclass(frozen=True, slots=True)
class _Entry:
    looks: _Looks
    digest: str


class CheckpointDigests:
    """The digests of one cache directory, shared by every process that uses it.

    Only one process hashes at a time, so that a service and a worker that start together read the weights once. A cache
    that cannot be read, written or believed costs time and never a wrong digest.
    """

    def __init__(self, cache_dir: Path, compute: Callable[[Path], str] | None = None) -> None:
        """compute: what a digest is; None: `model_digest`."""
        self._file = cache_dir / _FILE
        self._compute = compute or model_digest
        self._known: dict[str, _Entry] = {}

    def of(self, checkpoint: Path) -> str:
        """The checkpoint folder's `model_digest`. Raises `InvalidArtifact` when it is none; may read every weight."""
        folder = str(checkpoint.resolve())
        looks = _looks(checkpoint)
        known = self._known.get(folder)
        if known is None or known.looks != looks:
            known = self._kept(folder, looks) or self._hashed(checkpoint, folder)
            self._known[folder] = known
        return known.digest

    def _kept(self, folder: str, looks: _Looks) -> _Entry | None:
        entry = _read(self._file).get(folder)
        return entry if entry is not None and entry.looks == looks else None

    def _hashed(self, checkpoint: Path, folder: str) -> _Entry:
        with self._alone():
            looks = _looks(checkpoint)
            if kept := self._kept(folder, looks):  # another process has just hashed it
                return kept
            logger.info("hashing the checkpoint path=%s bytes=%d", folder, sum(file[1] for file in looks))
            entry = _Entry(looks, self._compute(checkpoint))
            if _looks(checkpoint) == looks:  # one that changed meanwhile is good for this answer at most
                self._keep(folder, entry)
            return entry

    def _keep(self, folder: str, entry: _Entry) -> None:
        try:
            _write(self._file, {**_read(self._file), folder: entry})
        except OSError as error:
            logger.warning("the checkpoint's digest is not kept error=%s", error)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as held:
            with suppress(OSError):  # a cache that cannot be written is shared with nobody
                self._file.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(FileLock(self._file.with_suffix(".lock")))
            yield


def _looks(checkpoint: Path) -> _Looks:
    looks: _Looks = []
    for file in checkpoint_files(checkpoint):
        stat = file.stat()
        looks.append([file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino])
    return looks


def _read(file: Path) -> dict[str, _Entry]:
    """What is kept; nothing where the file is missing, damaged or of another format."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != _FORMAT or data["sha256"] != _checksum(data["checkpoints"]):
            return {}
        return {folder: _Entry(entry["files"], entry["digest"]) for folder, entry in data["checkpoints"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(file: Path, entries: dict[str, _Entry]) -> None:
    checkpoints = {folder: {"files": entry.looks, "digest": entry.digest} for folder, entry in entries.items()}
    data = {"format": _FORMAT, "sha256": _checksum(checkpoints), "checkpoints": checkpoints}
    descriptor, temporary = tempfile.mkstemp(prefix=f".{_FILE}-", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(data, handle, indent=1)
        Path(temporary).replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _checksum(checkpoints: Any) -> str:
    """Of the entries as they are written, so that one changed by accident is not believed."""
    return hashlib.sha256(json.dumps(checkpoints, sort_keys=True).encode()).hexdigest()

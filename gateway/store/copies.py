"""Copies of artifacts on this host's disk, verified on every read. A cache: safe to delete."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{64}")
_STAGING = ".writing-"
_STALE_S = 3600  # a file whose writer died


class Copies:
    """`put`, `get` and `discard` of byte strings named by their SHA-256 (hex)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, digest: str, data: bytes) -> None:
        """A full or read-only disk costs speed, not the adapter: it is logged."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, staging = tempfile.mkstemp(prefix=_STAGING, dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                Path(staging).rename(self._path(digest))
            finally:
                Path(staging).unlink(missing_ok=True)
        except OSError as error:
            log.warning("blob not cached digest=%s error=%s", digest, error.strerror)

    def get(self, digest: str) -> bytes | None:
        """None for what is absent or was changed; the latter is removed."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() == digest:
            return data
        log.warning("blob damaged digest=%s tier=disk action=removed", digest)
        path.unlink(missing_ok=True)
        return None

    def discard(self, digest: str) -> None:
        """A missing one is no error."""
        self._path(digest).unlink(missing_ok=True)

    def digests(self) -> frozenset[str]:
        """What there is. A file whose writer died is removed once it is an hour old."""
        for staging in self._folder.glob(f"{_STAGING}*"):
            with suppress(FileNotFoundError):  # its writer was alive
                if time.time() - staging.stat().st_mtime > _STALE_S:
                    staging.unlink()
        return frozenset(path.stem for path in self._folder.glob("*.safetensors") if _NAME.fullmatch(path.stem))

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.safetensors"

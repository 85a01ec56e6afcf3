"""Secrets in files that only their owner may read, made once and by one process."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.errors import GatewayError


class UnsafeSecretFile(GatewayError):
    """A secret that others can read, or that cannot be read at all; the service does not start on it."""

    code = "unsafe_secret_file"


def load_or_create_secret(path: Path, make: Callable[[], str]) -> str:
    """The text in `path`, after writing `make()` there with mode 0600 if the file is missing.

    Several processes may call this at once: the file appears whole, and all of them read the same one.
    Raises `UnsafeSecretFile` when group or others may read it, or when it is not ours to read.
    """
    if not path.exists():
        _create(path, make())
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnsafeSecretFile(f"cannot read {path}: {type(error).__name__}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeSecretFile(f"{path} has mode {stat.S_IMODE(mode):04o}; run: chmod 600 {path}")
    if not text:
        raise UnsafeSecretFile(f"{path} is empty; remove it and a new one is made")
    return text


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, staging = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # O_EXCL, 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        # link, not rename: it fails where another process was first, and its secret stays.
        os.link(staging, path)
    except FileExistsError:
        return
    finally:
        Path(staging).unlink(missing_ok=True)

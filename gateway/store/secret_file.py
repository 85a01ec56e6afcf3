"""Secrets in files that only their owner may read, made once and by one process."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    return read_secret(path)


def read_secret(path: Path) -> str:
    """The text in `path`. Raises `UnsafeSecretFile` for a file that is not there, too."""
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


def replace_secret(path: Path, text: str) -> None:
    """Put another text in the place of a secret, at once and on disk."""
    with _staged(path, text) as staging:
        staging.replace(path)


def _create(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # link, not rename: it fails where another process was first, and its secret stays.
    with _staged(path, text) as staging, suppress(FileExistsError):
        os.link(staging, path)


@contextmanager
def _staged(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` with the text, which is removed if it is still there at the end."""
    descriptor, staging = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # O_EXCL, 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield Path(staging)
    finally:
        Path(staging).unlink(missing_ok=True)

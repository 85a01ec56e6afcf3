"""A folder for what must not outlive the process, not even when that is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_LOCK = ".lock"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end; those whose process was killed are removed at the start.

    A process holds a lock in its folder while it lives, so replicas may share `parent`.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as held:
        with _locked(parent):
            for folder in parent.iterdir():
                if folder.is_dir() and not _lives(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            own = Path(tempfile.mkdtemp(dir=parent))
            held.enter_context(_locked(own))
        held.callback(shutil.rmtree, own, ignore_errors=True)
        yield own


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = _open(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lives(folder: Path) -> bool:
    """Whether a process holds the folder's lock."""
    descriptor = _open(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(folder: Path) -> int:
    return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)

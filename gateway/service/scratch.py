"""A folder for what must not outlive the process, not even when that is killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, removed at the end; those whose process was killed are removed at the start.

    A process holds a lock in its folder while it lives, so replicas may share `parent`.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with ExitStack() as held:
        with _lock(parent):
            for folder in parent.iterdir():
                if folder.is_dir() and not _lives(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            own = Path(tempfile.mkdtemp(dir=parent))
            held.enter_context(_lock(own))
        held.callback(shutil.rmtree, own, ignore_errors=True)
        yield own


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / ".lock", mode=0o600)


def _lives(folder: Path) -> bool:
    """Whether a process holds the folder's lock."""
    try:
        with _lock(folder).acquire(timeout=0):
            return False
    except Timeout:
        return True

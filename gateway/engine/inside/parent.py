"""A process of the engine ends with the process that started it, however that one ended.

vLLM ends its processes when it is shut down. One that was killed shuts nothing down: its engine would wait for ever,
and keep the memory of its device from the engine that is started in its place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import wait

_NAME = "parent watch"
#: What a process has to clean up when it is asked to end; an engine in the middle of a step ends after it.
GRACE_S = 5.0


def end_with_parent() -> None:
    """Watch the parent from now on, once in a process; one that `multiprocessing` has not started has none to watch."""
    parent = multiprocessing.parent_process()
    watched = any(thread.name == _NAME for thread in threading.enumerate())
    if parent is not None and not watched:
        threading.Thread(target=_watch, args=(parent.sentinel,), name=_NAME, daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)

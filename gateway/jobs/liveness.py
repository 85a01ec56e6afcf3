"""Worker names that say which process of which machine they are, so that a dead one is known at once.

RQ notices a killed worker when its heartbeat runs out, a minute or more later. On the machine it died on, the next
service or worker to start can do better by looking at the process.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from pathlib import Path

import psutil

_NAME = re.compile(r"(?P<host>[0-9a-f]{12})-(?P<pid>\d+)-(?P<started>\d+)-[0-9a-f]{8}")
_CLOCK_STEP_S = 2


def worker_name() -> str:
    """`<host>-<pid>-<start time>-<random>`, for this process."""
    started = int(psutil.Process().create_time())
    return f"{_host()}-{os.getpid()}-{started}-{secrets.token_hex(4)}"


def is_gone(name: str) -> bool:
    """True when that worker ran here and does not any more; False when it lives or this machine cannot tell."""
    match = _NAME.fullmatch(name)
    if match is None or match["host"] != _host():
        return False
    try:
        process = psutil.Process(int(match["pid"]))
        started, status = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return status == psutil.STATUS_ZOMBIE or abs(started - int(match["started"])) > _CLOCK_STEP_S


def _host() -> str:
    """This boot of this machine and, in containers, this process namespace: where a pid means something."""
    parts = [socket.gethostname()]
    for path, read in (
        ("/proc/sys/kernel/random/boot_id", lambda p: Path(p).read_text()),
        ("/proc/self/ns/pid", os.readlink),
    ):
        try:
            parts.append(read(path))
        except OSError:  # not Linux
            continue
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.jobs.liveness import is_gone, worker_name


def test_this_process_is_not_gone() -> None:
    assert not is_gone(worker_name())


def test_names_are_unique() -> None:
    assert worker_name() != worker_name()


def test_a_process_that_ended_is_gone() -> None:
    script = "from gateway.jobs.liveness import worker_name; print(worker_name())"
    name = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert is_gone(name)


def test_a_zombie_is_gone() -> None:
    script = "from gateway.jobs.liveness import worker_name; print(worker_name(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert not is_gone(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(name), "killed, and not yet waited for by its parent"


def test_a_reused_pid_is_not_the_worker() -> None:
    host, pid, started, rest = worker_name().split("-")
    assert is_gone(f"{host}-{pid}-{int(started) - 1000}-{rest}")


@pytest.mark.parametrize("name", ["", "0123456789ab-1-1-01234567", "somebody's worker"])
def test_of_other_machines_nothing_is_known(name: str) -> None:
    assert not is_gone(name)

"""In processes of their own: a limit that is lowered stays so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
PARENT = f"""
import resource, subprocess, sys
from gateway.service.core_dumps import forbid_core_dumps
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
forbid_core_dumps()
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


@pytest.mark.parametrize(("most", "limits"), [(0, "(0, 0)"), (1, "(1, 1)"), (4096, "(1, 1)")])
def test_a_child_has_the_limit_too(most: int, limits: str) -> None:
    done = subprocess.run([sys.executable, "-c", PARENT, str(most)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == limits


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    code = "import os; from gateway.service.core_dumps import forbid_core_dumps; forbid_core_dumps(); os.abort()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    _, status = os.waitpid(process.pid, 0)
    process.returncode = status
    assert os.WIFSIGNALED(status)
    assert not os.WCOREDUMP(status)
    assert not list(tmp_path.iterdir())

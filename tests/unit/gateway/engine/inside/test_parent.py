"""Real processes: a child of `multiprocessing` ends with its parent, which was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

PARENT = """
import multiprocessing, signal, time
from gateway.engine.inside.parent import end_with_parent

def child(deaf):
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()
    end_with_parent()
    print("ready", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    end_with_parent()  # nobody's child: it watches nobody
    process = multiprocessing.get_context("spawn").Process(target=child, args=(DEAF,))
    process.start()
    process.join()
"""


@pytest.fixture(params=[False, True], ids=["asked to end", "which does not listen"])
def parent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Popen]:
    script = tmp_path_factory.mktemp("parent") / "parent.py"
    script.write_text(PARENT.replace("DEAF", str(request.param)), encoding="utf-8")
    process = psutil.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.stdout.close()


def test_a_child_ends_with_a_parent_that_was_killed(parent: psutil.Popen) -> None:
    children = parent.children()
    assert len(children) >= 1
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left

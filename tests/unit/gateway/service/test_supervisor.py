"""Settings reach a child process whole; a process tree ends whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from gateway.service.supervisor import end_process_tree, settings_environment, worker_environment
from gateway.settings import Settings


def test_settings_survive_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        model="org/model",
        port=9123,
        data_dir=tmp_path / "a b",
        redis_url=SecretStr("redis://:pass@host/0"),
        api_keys=SecretStr("one,two"),
        worker=False,
        gate_max_leak=0.125,
        offset_layers=3,
        offset_reference="own",
        offset_rank=128,
    )
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_worker_gets_no_secret_that_only_the_gateway_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets: dict[str, Any] = {"evidence_key": SecretStr("k" * 44), "webhook_secret": SecretStr("whsec_" + "a" * 32)}
    settings = Settings(data_dir=tmp_path, port=9123, webhook_url="https://hooks.example/unlearning", **secrets)
    environment = worker_environment(settings_environment(settings))
    assert not any(secret.get_secret_value() in environment.values() for secret in secrets.values())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings().port == 9123


def test_a_process_tree_ends_with_its_children() -> None:
    child = "import time; time.sleep(600)"
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        family = psutil.Process(process.pid).children()
        assert len(family) == 1
        end_process_tree(process.pid, timeout_s=0.5)
        assert process.wait(10) == -signal.SIGKILL
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in family)


#: Says what became of its children: one of the usual kind, and Python's resource tracker.
ENDS_ITS_CHILDREN = """
import subprocess, sys
from multiprocessing import resource_tracker

import psutil

from gateway.service.supervisor import end_children

resource_tracker.ensure_running()
(tracker,) = psutil.Process().children()
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
end_children()
print(other.wait(), tracker.is_running())
"""


def test_children_end_but_for_what_cleans_up_after_them() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS_ITS_CHILDREN], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(-signal.SIGTERM), "True"]


def test_a_process_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    end_process_tree(process.pid)

"""docker/entrypoint.sh: secrets from files into the environment of `unlearn`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the entrypoint with an `unlearn` that prints its environment and arguments."""
    fake = tmp_path / "unlearn"
    fake.write_text('#!/bin/sh\nenv\necho "args $*"\n')
    fake.chmod(0o755)

    def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(ROOT / "docker/entrypoint.sh"), *args],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_secrets_come_from_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("op-1 $HOME\n")
    (tmp_path / "password").write_text("pw")
    result = run(
        "serve",
        "--port",
        "1",
        UNLEARN_OPERATOR_TOKEN_FILE=str(tmp_path / "token"),
        REDIS_PASSWORD_FILE=str(tmp_path / "password"),
        REDIS_HOST="redis",
        UNLEARN_MODEL="",
    )
    assert result.returncode == 0
    lines = set(result.stdout.splitlines())
    assert {"UNLEARN_OPERATOR_TOKEN=op-1 $HOME", "REDIS_URL=redis://:pw@redis:6379/0", "args serve --port 1"} <= lines
    names = {line.partition("=")[0] for line in lines}
    assert not names & {"UNLEARN_OPERATOR_TOKEN_FILE", "REDIS_PASSWORD", "UNLEARN_MODEL"}


def test_an_empty_secret_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    result = run("serve", UNLEARN_API_KEYS_FILE=str(tmp_path / "empty"))
    assert result.returncode == 2
    assert "UNLEARN_API_KEYS_FILE" in result.stderr

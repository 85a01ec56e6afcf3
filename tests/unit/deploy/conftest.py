"""The three examples as the chart renders them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.unit.deploy.chart import ROOT, Rendered, render

Entrypoint = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def entrypoint(tmp_path: Path) -> Entrypoint:
    """Runs the images' entrypoint with arguments and an environment; its `unlearn` prints both."""
    fake = tmp_path / "unlearn"
    fake.write_text('#!/bin/sh\nenv\necho "args $*"\n')
    fake.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"

    def run(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(ROOT / "docker/entrypoint.sh"), *arguments]
        return subprocess.run(command, env={"PATH": path, **environment}, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def cpu() -> Rendered:
    return render("cpu")


@pytest.fixture
def gpu() -> Rendered:
    return render("gpu")


@pytest.fixture
def everything() -> Rendered:
    return render("everything")


@pytest.fixture(params=["cpu", "gpu", "everything"])
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """Each of them in turn."""
    return render(request.param)

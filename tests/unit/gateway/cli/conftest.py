"""A stub service and a command line that talks to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main as cli
from gateway.cli.context import CommandContext
from tests.unit.gateway.cli.stub import Stub, app
from tests.unit.gateway.local_server import LocalServer


@dataclass(frozen=True)
class Result:
    """What one command left behind."""

    status: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """Standard output as JSON, one document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Unlearn = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No setting of the machine's; a data directory of the test's own. Returns it."""
    for name in ("UNLEARN_OPERATOR_TOKEN", "UNLEARN_API_KEYS", "UNLEARN_GATEWAY_URL", "UNLEARN_PORT", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    monkeypatch.setenv("UNLEARN_DATA_DIR", str(data_dir))
    monkeypatch.setenv("COLUMNS", "200")
    return data_dir


@pytest.fixture
def stub(http_server: LocalServer) -> Iterator[Stub]:
    stub = Stub()
    with http_server.serving(app(stub)) as stub.url:
        yield stub


@pytest.fixture
def unlearn(stub: Stub, capsys: pytest.CaptureFixture[str]) -> Unlearn:
    """Runs `unlearn --url STUB ARGS…` in this process."""

    def run(*args: str) -> Result:
        status = cli.run(["--url", stub.url, *args], CommandContext())
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run

"""What `serve` refuses before it loads anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.config import Settings
from gateway.serve import run


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A model that is named, so that none is prepared."""
    return Settings(model=str(tmp_path), data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", port=1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
@pytest.mark.parametrize("keys", [None, "", " , "])
def test_beyond_loopback_api_keys_are_required(
    settings: Settings, host: str, keys: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = None if keys is None else SecretStr(keys)
    assert run(settings.model_copy(update={"host": host, "api_keys": secret}), []) == 2
    assert "UNLEARN_API_KEYS" in capfd.readouterr().err
    assert not settings.data_dir.exists()


def test_a_taken_port_fails_at_once(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(settings.model_copy(update={"port": port}), []) == 2
    assert f"127.0.0.1:{port}" in capfd.readouterr().err
    assert not settings.data_dir.exists()

"""What `serve` refuses before it loads anything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.engine import boot
from gateway.service.serve import run
from gateway.settings import Settings


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


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_fails_at_once(settings: Settings, taken: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(settings.model_copy(update={"port": taken}), []) == 2
    assert f"127.0.0.1:{taken}" in capfd.readouterr().err
    assert not settings.data_dir.exists()


@pytest.mark.parametrize(("pair", "local"), [(None, True), ("folder", True), ("org/small-model", False)])
def test_the_hub_is_asked_when_the_model_or_its_pair_is_there(
    settings: Settings, taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: str | None, local: bool
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(boot, "set_environment", lambda local_model: told.append(local_model))
    offset_model = str(tmp_path) if pair == "folder" else pair
    assert run(settings.model_copy(update={"port": taken, "offset_model": offset_model}), []) == 2
    assert told == [local]

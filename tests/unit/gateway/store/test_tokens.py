from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.store.secret_file import UnsafeSecretFile, load_or_create_secret
from gateway.store.tokens import load_or_create_operator_token


def settings(**values: object) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    there = settings(data_dir=tmp_path)
    token = load_or_create_operator_token(there)
    assert len(token) > 32
    assert load_or_create_operator_token(there) == token
    assert stat.S_IMODE((tmp_path / "operator.token").stat().st_mode) == 0o600


def test_the_token_from_the_environment(tmp_path: Path) -> None:
    assert load_or_create_operator_token(settings(data_dir=tmp_path, operator_token="op-given")) == "op-given"
    assert list(tmp_path.iterdir()) == []


def test_all_who_come_at_once_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with ThreadPoolExecutor(16) as pool:
        secrets = list(pool.map(lambda n: load_or_create_secret(path, lambda: f"made-by-{n}"), range(64)))
    assert len(set(secrets)) == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    with pytest.raises(UnsafeSecretFile, match="empty"):
        load_or_create_secret(path, lambda: "x")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.mkdir(mode=0o700)
    with pytest.raises(UnsafeSecretFile, match="cannot read"):
        load_or_create_secret(path, lambda: "x")

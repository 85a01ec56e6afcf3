"""The shell scripts: their form, and what make-secrets.sh makes."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted([*(ROOT / "deploy").rglob("*.sh"), *(ROOT / "docker").glob("*.sh"), ROOT / ".ci/run"])
SECRETS = set(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["secrets"])


def make_secrets(folder: Path) -> str:
    command = [str(ROOT / "deploy/make-secrets.sh"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    found = subprocess.run(
        ["shellcheck", "--external-sources", "--source-path=SCRIPTDIR", str(script)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", [path for path in SCRIPTS if os.access(path, os.X_OK)], ids=lambda path: path.name)
def test_scripts_end_at_the_first_error(script: Path) -> None:
    first, *_ = lines = script.read_text(encoding="utf-8").splitlines()
    assert {"#!/usr/bin/env bash": "set -euo pipefail", "#!/bin/sh": "set -eu"}[first] in lines


def test_the_check_refuses_a_word_it_does_not_know() -> None:
    result = subprocess.run([str(ROOT / "deploy/check.sh"), "chekc"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "chekc" in result.stderr


def test_secrets_are_made_for_all_that_compose_mounts(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    assert {path.name for path in folder.iterdir()} == SECRETS
    values = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert all(len(value.strip()) >= 40 and value.count("\n") == 1 for value in values.values())
    assert len(set(values.values())) == len(SECRETS)
    assert [len(base64.b64decode(values[name])) for name in ("payload_key", "evidence_key")] == [32, 32]


def test_only_the_owner_gets_to_the_secrets_and_a_container_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}


def test_secrets_that_are_there_are_kept(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "api_keys").unlink()
    assert "api_keys: made" in make_secrets(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name for name in SECRETS if before[name] != after[name]} == {"api_keys"}

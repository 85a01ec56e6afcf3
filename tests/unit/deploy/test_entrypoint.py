"""docker/entrypoint.sh: secrets from files into the environment of `unlearn`."""

from __future__ import annotations

from pathlib import Path

from tests.unit.deploy.conftest import Entrypoint


def test_secrets_come_from_files(entrypoint: Entrypoint, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("op-1 $HOME\n")
    (tmp_path / "password").write_text("pw")
    result = entrypoint(
        ["serve", "--port", "1"],
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


def test_an_empty_secret_is_refused(entrypoint: Entrypoint, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    result = entrypoint(["serve"], UNLEARN_API_KEYS_FILE=str(tmp_path / "empty"))
    assert result.returncode == 2
    assert "UNLEARN_API_KEYS_FILE" in result.stderr

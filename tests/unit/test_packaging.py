"""What the repository promises about itself: import directions, the CI script, what a wheel holds."""

from __future__ import annotations

import ast
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def imported(path: Path) -> Iterator[str]:
    """Top-level names of the packages that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def offenders(folder: str, forbidden: set[str], *, but: str | None = None) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if but is None or not path.is_relative_to(ROOT / but)
        for name in sorted(set(imported(path)) & forbidden)
    ]


class TestImports:
    def test_adapters_knows_no_service(self) -> None:
        forbidden = {"gateway", "vllm", "redis", "rq", "fastapi", "starlette", "uvicorn", "httpx", "requests"}
        assert offenders("adapters", forbidden) == []

    def test_only_the_engine_imports_vllm(self) -> None:
        assert offenders("gateway", {"vllm"}, but="gateway/engine") == []

    def test_nothing_is_unpickled(self) -> None:
        assert offenders("gateway", {"pickle", "dill", "cloudpickle"}) == []
        assert offenders("adapters", {"pickle", "dill", "cloudpickle"}) == []


class TestProject:
    def test_ci_runs_lint_types_and_make_test(self) -> None:
        script = ROOT / ".ci/run"
        assert script.stat().st_mode & stat.S_IXUSR
        lines = script.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert "set -euo pipefail" in lines
        assert [line for line in lines if line.startswith("make ")] == ["make lint", "make types", "make test"]

    def test_data_files_are_packaged(self) -> None:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        packaged = pyproject["tool"]["setuptools"]["package-data"]
        for package in ("gateway", "adapters"):
            files = {path for pattern in packaged[package] for path in (ROOT / package).glob(pattern)}
            data = {
                path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
            }
            assert data <= files

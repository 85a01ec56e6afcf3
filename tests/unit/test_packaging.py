"""What the repository promises about itself: import directions, the CI script, what a wheel holds."""

from __future__ import annotations

import ast
import stat
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


#: Of `adapters`, bottom to top: a room imports those before it.
ROOMS = ("text", "artifact", "models", "evaluation", "data", "objectives", "training", "methods")
#: Stand on the rooms; every other module at the top level lies beneath them, on `text` and `artifact`.
ROOF = {"registry", "selection", "carriers"}


def imported(path: Path) -> Iterator[str]:
    """Whatever a file imports at run time, by its full name, wherever in it the import stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # may be modules


def offenders(folder: str, forbidden: set[str], *, but: str | None = None) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if but is None or not path.is_relative_to(ROOT / but)
        for name in sorted({name.partition(".")[0] for name in imported(path)} & forbidden)
    ]


def imports_within(package: str) -> dict[str, set[str]]:
    """{module: the modules of the package that it imports}."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    return {name: set(imported(path)) & paths.keys() - {name} for name, path in paths.items()}


def allowed(room: str) -> set[str]:
    """Rooms and modules of the roof that a module may import. room: where it is, or its own name at the top level."""
    if room in ROOF:
        return {*ROOMS, *ROOF}
    return set(ROOMS[: ROOMS.index(room) + 1]) if room in ROOMS else {"text", "artifact"}


class TestImports:
    def test_adapters_knows_no_service(self) -> None:
        forbidden = {"gateway", "vllm", "redis", "rq", "fastapi", "starlette", "uvicorn", "httpx", "requests"}
        assert offenders("adapters", forbidden) == []

    def test_only_the_engine_imports_vllm(self) -> None:
        assert offenders("gateway", {"vllm"}, but="gateway/engine") == []

    def test_nothing_is_unpickled(self) -> None:
        assert offenders("gateway", {"pickle", "dill", "cloudpickle"}) == []
        assert offenders("adapters", {"pickle", "dill", "cloudpickle"}) == []

    def test_the_rooms_import_downwards(self) -> None:
        upwards = [
            f"{module} imports {other}"
            for module, others in imports_within("adapters").items()
            for other in others
            if other.split(".")[1] in {*ROOMS, *ROOF} - allowed(module.split(".")[1])
        ]
        assert upwards == []

    @pytest.mark.parametrize("package", ["adapters", "gateway"])
    def test_no_module_imports_itself_through_others(self, package: str) -> None:
        TopologicalSorter(imports_within(package)).prepare()  # raises CycleError, which names the modules

    @pytest.mark.parametrize("folder", ["adapters", "gateway"])
    def test_what_is_imported_is_declared(self, folder: str) -> None:
        """By the project itself: another package may stop needing it."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = [
            *project["dependencies"],
            *(line for extra in project["optional-dependencies"].values() for line in extra),
        ]
        declared = {canonicalize_name(Requirement(line).name) for line in lines}
        installed = packages_distributions()
        ours = {"adapters", "gateway"} | sys.stdlib_module_names
        files = (ROOT / folder).rglob("*.py")
        names = {name.partition(".")[0] for path in files for name in imported(path)} - ours
        missing = {name for name in names if declared.isdisjoint(map(canonicalize_name, installed.get(name, ())))}
        assert missing == set()


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

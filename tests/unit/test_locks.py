"""requirements/*.txt: they hold what pyproject.toml declares, and the GPU lock installs on both its Pythons."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("cpu", "gpu", "dev")
#: The oldest Linux that every wheel of the GPU lock runs on: llguidance asks for this one.
GPU_PLATFORM = "x86_64-manylinux_2_31"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def entries(text: str) -> list[str]:
    """A pin each, with the lines that belong to it."""
    return re.split(r"\n(?=[A-Za-z0-9])", "\n".join(line for line in text.splitlines() if line[:1] != "#"))


def pins(name: str) -> dict[str, str]:
    """Canonical name → version, as a lock has them."""
    return {canonicalize_name(m[1]): m[2] for m in map(_PIN.match, lock(name).splitlines()) if m}


def declared(extra: str) -> list[Requirement]:
    project = pyproject()["project"]
    return [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"][extra])]


class TestContents:
    @pytest.mark.parametrize("extra", ["cpu", "gpu"])
    def test_hold_what_is_declared(self, extra: str) -> None:
        locked = pins(extra) | (pins("torch-cpu") if extra == "cpu" else {})
        for requirement in declared(extra):
            version = locked[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(Version(version), prereleases=True), requirement

    def test_dev_holds_what_is_declared(self) -> None:
        for text in pyproject()["dependency-groups"]["dev"]:
            requirement = Requirement(text)
            assert requirement.specifier.contains(Version(pins("dev")[canonicalize_name(requirement.name)])), text

    @pytest.mark.parametrize("extra", ["cpu", "gpu"])
    def test_dev_agrees_with_the_engines_locks(self, extra: str) -> None:
        engine, dev = pins(extra), pins("dev")
        assert {name: dev[name] for name in dev.keys() & engine.keys()} == {
            name: engine[name] for name in dev.keys() & engine.keys()
        }

    @pytest.mark.parametrize("name", [*LOCKS, "torch-cpu", "helm"])
    def test_every_pin_has_hashes_and_no_place_of_its_own(self, name: str) -> None:
        text = lock(name)
        assert len([entry for entry in entries(text) if _PIN.match(entry)]) == len(pins(name)) > 0
        for entry in entries(text):
            assert not entry.strip() or "--hash=sha256:" in entry, entry.splitlines()[0]
        assert not re.search(
            r"^\s*(-f|-i|--find-links|--index-url|--extra-index-url)\b|file:|\s@\s", text, re.MULTILINE
        )

    def test_cpu_leaves_out_what_breaks_it(self) -> None:
        left_out = {"torch", "torchvision", "torchaudio", "torchcodec", "triton", "llm", "llama-cpp-python"}
        assert not pins("cpu").keys() & left_out
        assert not pins("gpu").keys() & {"llm", "llama-cpp-python"}

    def test_the_gpu_lock_is_the_same_for_every_python(self) -> None:
        assert ";" not in lock("gpu")


def without(name: str) -> str:
    """The GPU lock, with a pin left out."""
    return "\n".join(entry for entry in entries(lock("gpu")) if not entry.startswith(f"{name}=="))


def hashes(text: str) -> dict[str, set[str]]:
    """Pin → the files it may be, by hash."""
    found = {m[0]: set(re.findall(r"sha256:(\w+)", entry)) for entry in entries(text) if (m := _PIN.match(entry))}
    assert found
    return found


Run = subprocess.CompletedProcess[str]
Uv = Callable[..., Run]


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Uv:
    """Runs `uv pip ARGUMENTS… LOCK` in an empty folder."""
    folder = tmp_path_factory.mktemp("uv")

    def uv(text: str, *arguments: str) -> Run:
        (folder / "lock.txt").write_text(text, encoding="utf-8")
        command = [find_uv_bin(), "pip", *arguments, "lock.txt", "--python-platform", GPU_PLATFORM]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    probe = uv(f"uv=={pins('dev')['uv']}", "compile", "--no-deps")
    if probe.returncode:
        pytest.skip(f"the package index is out of reach: {probe.stderr.strip().splitlines()[-1].strip()}")
    return uv


class TestTheGpuLockInstalls:
    """With hashes, from wheels alone, into an empty folder: as far as metadata says it, so nothing large is fetched.

    uv resolves the lock as it stands. With `--require-hashes` it takes a pin for everything that a pin depends on, in
    a version the other accepts, and a wheel for this Python; what is missing is an error. It looks at the hashes only
    when it fetches a file, so they are compared with those of the index.
    """

    @pytest.fixture
    def install(self, uv: Uv) -> Callable[[str, str], Run]:
        options = ["--dry-run", "--require-hashes", "--only-binary", ":all:", "--target", "empty"]
        options += ["--override", str(ROOT / "requirements/overrides-gpu.txt")]
        return lambda text, python: uv(text, "install", *options, "--python-version", python, "-r")

    @pytest.mark.parametrize("python", ["3.11", "3.12"])
    def test_as_it_is(self, install: Callable[[str, str], Run], python: str) -> None:
        result = install(lock("gpu"), python)
        assert result.returncode == 0, result.stderr
        planned = re.findall(r"^ \+ (\S+?)==", result.stderr, re.MULTILINE)
        assert {canonicalize_name(name) for name in planned} == pins("gpu").keys()

    def test_not_with_a_pin_left_out(self, install: Callable[[str, str], Run]) -> None:
        assert "six" in install(without("six"), "3.12").stderr.partition("error:")[2]

    def test_not_with_a_version_that_another_pin_refuses(self, install: Callable[[str, str], Run]) -> None:
        refused = re.sub(r"^setuptools==\S+", "setuptools==84.2.1", lock("gpu"), flags=re.MULTILINE)
        assert "setuptools" in install(refused, "3.12").stderr.partition("error:")[2]

    def test_its_hashes_are_the_indexs(self, uv: Uv) -> None:
        bare = "\n".join(m[0] for m in map(_PIN.match, lock("gpu").splitlines()) if m)
        result = uv(bare, "compile", "--no-deps", "--generate-hashes", "--no-header", "--python-version", "3.12")
        assert result.returncode == 0, result.stderr
        offered = hashes(result.stdout)
        assert {pin: files - offered[pin] for pin, files in hashes(lock("gpu")).items() if files - offered[pin]} == {}

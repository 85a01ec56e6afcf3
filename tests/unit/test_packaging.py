"""What the repository promises about itself: import directions, locks, images, the compose file, the CI script."""

from __future__ import annotations

import ast
import json
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from gateway.config import Settings

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("cpu", "gpu", "dev")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


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


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, str]:
    """Canonical name → version, as a lock has them."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(m[1]): m[2] for m in map(_PIN.match, lines) if m}


def declared(extra: str) -> list[Requirement]:
    project = pyproject()["project"]
    return [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"][extra])]


class TestLocks:
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
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        entries = re.split(r"\n(?=[A-Za-z0-9])", "\n".join(line for line in text.splitlines() if line[:1] != "#"))
        assert len([entry for entry in entries if _PIN.match(entry)]) == len(pins(name)) > 0
        for entry in entries:
            assert not entry.strip() or "--hash=sha256:" in entry, entry.splitlines()[0]
        assert not re.search(
            r"^\s*(-f|-i|--find-links|--index-url|--extra-index-url)\b|file:|\s@\s", text, re.MULTILINE
        )

    def test_cpu_leaves_out_what_breaks_it(self) -> None:
        assert not pins("cpu").keys() & {
            "torch",
            "torchvision",
            "torchaudio",
            "torchcodec",
            "triton",
            "llm",
            "llama-cpp-python",
        }
        assert not pins("gpu").keys() & {"llm", "llama-cpp-python"}


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined, comments left out."""
    text = (ROOT / "docker" / name).read_text(encoding="utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", lines)
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.gpu"])
class TestImages:
    def test_run_as_nobody_special_in_exec_form_with_a_probe(self, name: str) -> None:
        final = instructions(name)
        final = final[max(i for i, (word, _) in enumerate(final) if word == "FROM") :]
        last = dict(final)
        assert last["USER"] == "10001"
        assert json.loads(last["ENTRYPOINT"]) == ["tini", "--", "entrypoint"]
        assert json.loads(last["CMD"]) == ["serve"]
        assert "/livez" in last["HEALTHCHECK"]

    def test_copy_what_is_there_and_what_the_builder_is_given(self, name: str) -> None:
        given = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        for word, arguments in instructions(name):
            if word != "COPY" or "--from=" in arguments:
                continue
            *sources, _target = [part for part in arguments.split() if not part.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(source == g or source.startswith(f"{g}/") for g in given), source

    def test_pin_their_base_and_hold_no_secret(self, name: str) -> None:
        for word, arguments in instructions(name):
            if word == "FROM":
                assert re.search(r":[\w.-]+( AS \w+)?$", arguments), arguments
                assert ":latest" not in arguments
            if word in ("ENV", "ARG"):
                assert not re.search(r"TOKEN|KEY|PASSWORD|REDIS_URL", arguments)


def test_the_gpu_image_has_the_vllm_of_the_lock() -> None:
    assert ("FROM", f"vllm/vllm-openai:v{pins('gpu')['vllm']}") in instructions("Dockerfile.gpu")


class TestEntrypoint:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Any:
        """Runs the entrypoint with an `unlearn` that prints its environment and arguments."""
        fake = tmp_path / "unlearn"
        fake.write_text('#!/bin/sh\nenv\necho "args $*"\n')
        fake.chmod(0o755)

        def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["sh", str(ROOT / "docker/entrypoint.sh"), *args],
                env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
                capture_output=True,
                text=True,
                check=False,
            )

        return run

    def test_secrets_come_from_files(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("op-1 $HOME\n")
        (tmp_path / "password").write_text("pw")
        result = run(
            "serve",
            "--port",
            "1",
            UNLEARN_OPERATOR_TOKEN_FILE=str(tmp_path / "token"),
            REDIS_PASSWORD_FILE=str(tmp_path / "password"),
            REDIS_HOST="redis",
            UNLEARN_MODEL="",
        )
        assert result.returncode == 0
        lines = set(result.stdout.splitlines())
        assert {
            "UNLEARN_OPERATOR_TOKEN=op-1 $HOME",
            "REDIS_URL=redis://:pw@redis:6379/0",
            "args serve --port 1",
        } <= lines
        names = {line.partition("=")[0] for line in lines}
        assert not names & {"UNLEARN_OPERATOR_TOKEN_FILE", "REDIS_PASSWORD", "UNLEARN_MODEL"}

    def test_an_empty_secret_is_refused(self, run: Any, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        result = run("serve", UNLEARN_API_KEYS_FILE=str(tmp_path / "empty"))
        assert result.returncode == 2
        assert "UNLEARN_API_KEYS_FILE" in result.stderr


class TestCompose:
    @pytest.fixture
    def compose(self) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
        return document

    def test_follows_the_specification(self, compose: dict[str, Any]) -> None:
        schema = json.loads((ROOT / "tests/unit/data/compose-spec.json").read_text(encoding="utf-8"))
        validator = jsonschema.Draft202012Validator(schema)
        assert [error.message for error in validator.iter_errors(compose)] == []

    def test_publishes_the_gateway_alone(self, compose: dict[str, Any]) -> None:
        published = {name for name, service in compose["services"].items() if service.get("ports")}
        assert published == {"gateway", "gateway-cpu"}
        assert compose["services"]["gateway"]["ports"] == ["${UNLEARN_PUBLISH:-127.0.0.1:8000}:8000"]
        assert compose["networks"]["backend"]["internal"] is True
        assert compose["services"]["redis"]["networks"] == ["backend"]

    def test_redis_keeps_what_it_is_told_behind_a_password(self, compose: dict[str, Any]) -> None:
        redis = compose["services"]["redis"]
        command = redis["command"][-1]
        for words in ("requirepass", "--appendonly yes", "--maxmemory-policy noeviction", "--dir /data"):
            assert words in command
        assert "redis:/data" in redis["volumes"]

    def test_every_service_waits_for_health(self, compose: dict[str, Any]) -> None:
        services = compose["services"]
        for name in ("gateway", "gateway-cpu", "worker", "worker-cpu"):
            for other, how in services[name]["depends_on"].items():
                assert how == {"condition": "service_healthy"}
                assert "test" in services[other]["healthcheck"]

    def test_a_gpu_is_reserved_where_one_is_used(self, compose: dict[str, Any]) -> None:
        for name in ("gateway", "worker"):
            service = compose["services"][name]
            devices = service["deploy"]["resources"]["reservations"]["devices"]
            assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
            assert service["profiles"] == ["gpu"]
            assert compose["services"][f"{name}-cpu"]["profiles"] == ["cpu"]
            assert "deploy" not in compose["services"][f"{name}-cpu"]

    def test_secrets_are_files_and_the_example_names_them_all(self, compose: dict[str, Any]) -> None:
        example = (ROOT / "deploy/.env.example").read_text(encoding="utf-8")
        names = {secret["environment"] for secret in compose["secrets"].values()}
        empty = set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
        assert names <= empty, "the example holds a secret, or lacks one"
        for service in compose["services"].values():
            assert not names & set(service.get("environment", {}))

    def test_a_worker_trains_for_the_engine_it_serves(self, compose: dict[str, Any]) -> None:
        shape = {
            f"UNLEARN_{name}" for name in ("MODEL", "METHODS", "OFFSET_LAYERS", "OFFSET_MODEL", "OFFSET_REFERENCE")
        }
        example = (ROOT / "deploy/.env.example").read_text(encoding="utf-8")
        assert shape <= set(re.findall(r"^(\w+)=", example, re.MULTILINE))
        for suffix in ("", "-cpu"):
            gateway, worker = (compose["services"][name + suffix]["environment"] for name in ("gateway", "worker"))
            assert shape <= gateway.keys() & worker.keys()
            assert all(gateway[name] == worker[name] for name in shape)

    def test_settings_named_are_settings(self, compose: dict[str, Any]) -> None:
        known = {f"UNLEARN_{name.upper()}" for name in Settings.model_fields} | {"REDIS_URL"}
        for service in compose["services"].values():
            for name in service.get("environment", {}):
                if name.startswith("UNLEARN_"):
                    assert name.removesuffix("_FILE") in known


class TestProject:
    def test_ci_runs_lint_types_and_make_test(self) -> None:
        script = ROOT / ".ci/run"
        assert script.stat().st_mode & stat.S_IXUSR
        lines = script.read_text(encoding="utf-8").splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert "set -euo pipefail" in lines
        assert [line for line in lines if line.startswith("make ")] == ["make lint", "make types", "make test"]

    def test_data_files_are_packaged(self) -> None:
        packaged = pyproject()["tool"]["setuptools"]["package-data"]
        for package in ("gateway", "adapters"):
            files = {path for pattern in packaged[package] for path in (ROOT / package).glob(pattern)}
            data = {
                path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
            }
            assert data <= files

"""compose.yaml: its form and what it promises. `make check-containers` runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DATA = "/var/lib/unlearning-gateway"


def service_dockerfile(compose: dict[str, Any], service: dict[str, Any]) -> str:
    """Of the image that a service runs, whichever service builds it."""
    (found,) = (
        other["build"]["dockerfile"]
        for other in compose["services"].values()
        if other["image"] == service["image"] and "build" in other
    )
    return str(found)


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

    def test_redis_is_waited_for_and_a_worker_waits_for_no_gateway_that_waits_for_it(
        self, compose: dict[str, Any]
    ) -> None:
        """The gateway's self-check fails while a job waits and no worker is alive."""
        services = compose["services"]
        assert "test" in services["redis"]["healthcheck"]
        for suffix in ("", "-cpu"):
            assert services[f"gateway{suffix}"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
            assert services[f"worker{suffix}"]["depends_on"] == {
                "redis": {"condition": "service_healthy"},
                f"gateway{suffix}": {"condition": "service_started"},
            }

    def test_a_gpu_is_reserved_where_one_is_used(self, compose: dict[str, Any]) -> None:
        for name in ("gateway", "worker"):
            service = compose["services"][name]
            devices = service["deploy"]["resources"]["reservations"]["devices"]
            assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
            assert service["profiles"] == ["gpu"]
            assert compose["services"][f"{name}-cpu"]["profiles"] == ["cpu"]
            assert "deploy" not in compose["services"][f"{name}-cpu"]

    def test_secrets_are_files_and_in_no_environment(self, compose: dict[str, Any]) -> None:
        for name, secret in compose["secrets"].items():
            assert re.fullmatch(r"\$\{UNLEARN_SECRETS:\?[^}]*\}/" + name, secret["file"]), secret
        for service in compose["services"].values():
            for name, value in service.get("environment", {}).items():
                if re.search(r"TOKEN|KEY|PASSWORD", name):
                    assert name.endswith("_FILE")
                    assert value.removeprefix("/run/secrets/") in service["secrets"]

    def test_without_env_it_is_said_what_to_do(self, compose: dict[str, Any]) -> None:
        for secret in compose["secrets"].values():  # Compose names any of them
            assert ":?copy deploy/.env.example to .env}" in secret["file"]
        example = (ROOT / "deploy/.env.example").read_text(encoding="utf-8")
        assert re.search(r"^UNLEARN_SECRETS=\S+$", example, re.MULTILINE)
        assert re.search(r"^COMPOSE_PROFILES=\S+$", example, re.MULTILINE)

    def test_whatever_may_be_set_is_in_the_example(self) -> None:
        text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
        used = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
        example = (ROOT / "deploy/.env.example").read_text(encoding="utf-8")
        assert used | {"COMPOSE_PROFILES"} == set(re.findall(r"^(\w+)=", example, re.MULTILINE))

    def test_nothing_is_written_but_to_volumes_and_memory(self, compose: dict[str, Any]) -> None:
        for name, service in compose["services"].items():
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            if name == "redis":
                continue
            in_memory = dict(entry.split(":") for entry in service["tmpfs"])
            if DATA in in_memory:
                assert "uid=10001" in in_memory[DATA], "the image's user; see test_images"
            places = set(in_memory) | {entry.split(":")[1] for entry in service["volumes"]}
            image = (ROOT / service_dockerfile(compose, service)).read_text(encoding="utf-8")
            volumes = json.loads(re.findall(r"^VOLUME (.*)$", image, re.MULTILINE)[0])
            assert {"/tmp", *volumes} == places, "a volume that is not named gets one without a name"

    def test_what_a_gateway_has_seen_outlives_its_container(self, compose: dict[str, Any]) -> None:
        """By the last checkpoint it tells that the log was rolled back; a worker keeps nothing there."""
        for suffix in ("", "-cpu"):
            gateway, worker = (compose["services"][name + suffix] for name in ("gateway", "worker"))
            assert f"data:{DATA}" in gateway["volumes"]
            assert not any(DATA in entry for entry in gateway["tmpfs"])
            assert not any(DATA in entry for entry in worker["volumes"])
        assert {"data", "redis", "cache"} == compose["volumes"].keys()

    def test_one_service_builds_an_image_and_the_others_take_it(self, compose: dict[str, Any]) -> None:
        for kind in ("gpu", "cpu"):
            users = {
                name: service
                for name, service in compose["services"].items()
                if service["image"] == f"unlearning-gateway:{kind}"
            }
            assert len(users) == 2
            assert sum("build" in service for service in users.values()) == 1
            assert {service["pull_policy"] for service in users.values()} == {"never"}

    def test_a_worker_gives_way_to_the_gateway(self, compose: dict[str, Any]) -> None:
        for suffix in ("", "-cpu"):
            assert compose["services"][f"worker{suffix}"]["cpu_shares"] < 1024
            assert "cpu_shares" not in compose["services"][f"gateway{suffix}"]

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
        known = {f"UNLEARN_{name.upper()}" for name in Settings.model_fields}
        for service in compose["services"].values():
            for name in service.get("environment", {}):
                if name.startswith("UNLEARN_"):
                    assert name.removesuffix("_FILE") in known

"""compose.yaml: its form and what it promises. `make check-containers` runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.config import Settings

ROOT = Path(__file__).resolve().parents[3]


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

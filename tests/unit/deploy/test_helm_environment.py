"""What gateway and worker are told: settings that agree, and secrets that each reads from files."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings
from tests.unit.deploy.chart import NAME, ROOT, Rendered, defaults, render
from tests.unit.deploy.conftest import Entrypoint


def secret_file(rendered: Rendered, component: str, path: str) -> tuple[str, str]:
    """(Secret, key) that a path within a pod's container comes from."""
    mounts = rendered.container(component)["volumeMounts"]
    mount = next(m for m in mounts if Path(path).parent == Path(m["mountPath"]))
    assert mount["readOnly"] is True
    volume = next(v for v in rendered.pod(component)["spec"]["volumes"] if v["name"] == mount["name"])
    item = next(i for i in volume["secret"]["items"] if i["path"] == Path(path).name)
    return volume["secret"]["secretName"], item["key"]


def secrets_read(rendered: Rendered, component: str) -> set[tuple[str, str]]:
    """Every (Secret, key) that a pod mounts."""
    return {
        (volume["secret"]["secretName"], item["key"])
        for volume in rendered.pod(component)["spec"]["volumes"]
        if "secret" in volume
        for item in volume["secret"]["items"]
    }


@pytest.fixture
def settings_of(entrypoint: Entrypoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The `Settings` a component comes up with: its variables through the image's entrypoint, secrets made up."""

    def settings_of(rendered: Rendered, component: str) -> Settings:
        environment = rendered.env(component)
        for name, path in environment.items():
            if name.endswith("_FILE"):
                file = tmp_path / "-".join(secret_file(rendered, component, path))
                file.write_text(f"secret-{file.name}")
                environment[name] = str(file)
        done = entrypoint(rendered.container(component)["args"], **environment)
        assert done.returncode == 0, done.stderr
        seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        assert not [name for name in seen if name.endswith("_FILE")]
        monkeypatch.setattr(os, "environ", seen)
        return Settings()

    return settings_of


class TestSettings:
    #: What a worker must share with the service it learns for, besides what the two are told differently.
    DIFFERENT = frozenset({"worker", "worker_device", "gateway_url", "api_keys", "evidence_key", "drain_timeout_s"})

    def test_gateway_and_worker_agree(self, settings_of: Any, rendered: Rendered) -> None:
        gateway, worker = (settings_of(rendered, component) for component in ("gateway", "worker"))
        for name in Settings.model_fields.keys() - self.DIFFERENT:
            assert getattr(gateway, name) == getattr(worker, name), name
        assert gateway.operator_token is not None
        assert gateway.payload_key is not None
        assert gateway.redis_url is not None
        assert gateway.worker is False
        assert gateway.api_keys is not None
        assert worker.api_keys is None
        assert (gateway.evidence_key is None, worker.evidence_key is None) == (False, True)

    def test_they_are_what_was_asked_for(self, settings_of: Any, gpu: Rendered) -> None:
        found = settings_of(gpu, "worker")
        assert found.model == "/models/Llama-3.1-8B-Instruct"
        assert (found.methods, found.offset_layers, found.max_body_bytes) == ("spul,delta,lora", 8, 8 * 2**20)
        assert settings_of(gpu, "gateway").drain_timeout_s == 120

    def test_numbers_stay_what_they_are(self, settings_of: Any) -> None:
        wanted = {"max_body_bytes": 123_456_789, "gate_max_leak": 0.125, "policy_staleness_s": 90}
        found = settings_of(render("cpu", {"settings": wanted}), "gateway")
        assert {name: getattr(found, name) for name in wanted} == wanted

    def test_without_a_model_the_default_is_served(self, settings_of: Any, cpu: Rendered) -> None:
        assert settings_of(cpu, "gateway").model is None

    def test_a_worker_finds_the_gateway_by_its_service(self, settings_of: Any, rendered: Rendered) -> None:
        (port,) = rendered.one("Service")["spec"]["ports"]
        assert settings_of(rendered, "worker").service_url == f"http://{NAME}:{port['port']}"
        assert rendered.container("worker")["args"] == ["worker"]

    @pytest.mark.parametrize(("name", "device"), [("cpu", "auto"), ("gpu", "cuda"), ("everything", "cpu")])
    def test_a_worker_is_told_its_device(self, name: str, device: str) -> None:
        rendered = render(name)
        assert rendered.env("worker")["UNLEARN_WORKER_DEVICE"] == device
        assert "UNLEARN_WORKER_DEVICE" not in rendered.env("gateway")

    def test_redis_is_the_charts_own_or_the_one_named(
        self, settings_of: Any, cpu: Rendered, everything: Rendered
    ) -> None:
        own = settings_of(cpu, "worker").redis_url.get_secret_value()
        assert own == f"redis://:secret-unlearning-redis-password@{NAME}-redis:6379/0"
        assert cpu.one("Service", f"{NAME}-redis")["spec"]["ports"][0]["port"] == 6379
        named = settings_of(everything, "worker").redis_url.get_secret_value()
        assert named == "secret-shared-redis-redis-url"
        assert f"{NAME}-redis" not in {document["metadata"]["name"] for document in everything.documents}


class TestSecrets:
    def test_each_pod_reads_only_its_own(self, cpu: Rendered, everything: Rendered) -> None:
        both = {("unlearning", key) for key in ("operator-token", "payload-key", "redis-password")}
        assert secrets_read(cpu, "gateway") == both | {("unlearning", "api-keys"), ("unlearning", "evidence-key")}
        assert secrets_read(cpu, "worker") == both
        assert secrets_read(cpu, "redis") == {("unlearning", "redis-password")}
        others = {
            ("gateway-secrets", "OPERATOR_TOKEN"),
            ("gateway-secrets", "PAYLOAD_KEY"),
            ("shared-redis", "redis-url"),
            ("hub", "token"),
        }
        assert secrets_read(everything, "worker") == others
        own = {("gateway-secrets", "API_KEYS"), ("gateway-secrets", "EVIDENCE_KEY")}
        assert secrets_read(everything, "gateway") == others | own

    def test_the_docs_make_the_one_that_the_values_ask_for(self) -> None:
        docs = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
        assert set(re.findall(r"--from-literal=([\w-]+)=", docs)) == set(defaults()["secret"]["keys"].values())

    def test_none_is_rendered(self, rendered: Rendered) -> None:
        assert not rendered.kinds() & {"Secret", "ConfigMap"}
        for component, pod in rendered.pods():
            for entry in pod["spec"]["containers"][0].get("env", []):
                if re.search(r"KEY|TOKEN|PASSWORD|REDIS_URL", entry["name"]) and "value" in entry:
                    assert re.search(r"_(FILE|PATH)$", entry["name"]), (component, entry["name"])
                    assert entry["value"].startswith("/run/secrets/")

    def test_the_hubs_token_is_a_file_that_its_client_looks_for(self, everything: Rendered) -> None:
        for component in ("gateway", "worker"):
            path = everything.env(component)["HF_TOKEN_PATH"]
            assert secret_file(everything, component, path) == ("hub", "token")

    def test_the_group_may_read_and_nobody_else(self, rendered: Rendered) -> None:
        for _, pod in rendered.pods():
            for volume in pod["spec"].get("volumes", []):
                if "secret" in volume:
                    assert volume["secret"]["defaultMode"] == 0o440
                    assert pod["spec"]["securityContext"]["fsGroup"]

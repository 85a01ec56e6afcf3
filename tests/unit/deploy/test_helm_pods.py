"""Gateway and worker in their pods: how they start and stop, what they may do, what they run on."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gateway.errors import Forbidden, Unauthorized
from gateway.settings import Settings
from tests.unit.deploy.chart import NAME, ROOT, Rendered, defaults, notes, render

DOCKERFILES = ("Dockerfile.cpu", "Dockerfile.gpu")


def image_variable(dockerfile: str, name: str) -> str:
    found = re.search(rf"\b{name}=(\S+)", (ROOT / "docker" / dockerfile).read_text(encoding="utf-8"))
    assert found, f"{dockerfile} does not set {name}"
    return found[1]


class TestLife:
    def test_probes_ask_what_the_gateway_answers(self, rendered: Rendered) -> None:
        gateway = rendered.container("gateway")
        paths = {name: gateway[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
        assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}
        assert gateway["ports"] == [{"name": "http", "containerPort": 8000}]

    @pytest.mark.parametrize("budget", [30, 1800, 1805, 86_400])
    def test_a_start_may_take_its_budget(self, budget: int) -> None:
        values = {"gateway": {"startup": {"budgetSeconds": budget}}}
        probe = render("cpu", values).container("gateway")["startupProbe"]
        assert budget <= probe["failureThreshold"] * probe["periodSeconds"] < budget + probe["periodSeconds"]

    @pytest.mark.parametrize("drain", [{}, {"timeoutSeconds": 600}, {"propagationSeconds": 0, "shutdownSeconds": 5}])
    def test_it_may_drain_before_it_is_killed(self, drain: dict[str, int]) -> None:
        rendered = render("cpu", {"gateway": {"drain": drain}})
        expected = defaults()["gateway"]["drain"] | drain
        gateway = rendered.container("gateway")
        wait = gateway.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        timeout = int(rendered.env("gateway")["UNLEARN_DRAIN_TIMEOUT_S"])
        assert (wait, timeout) == (expected["propagationSeconds"], expected["timeoutSeconds"])
        grace = rendered.pod("gateway")["spec"]["terminationGracePeriodSeconds"]
        assert grace - wait - timeout == expected["shutdownSeconds"] > 0

    def test_the_drain_is_the_services_own_by_default(self) -> None:
        assert defaults()["gateway"]["drain"]["timeoutSeconds"] == Settings.model_fields["drain_timeout_s"].default

    def test_updates_take_no_second_gpu(self, gpu: Rendered) -> None:
        assert gpu.one("Deployment", f"{NAME}-worker")["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
        assert gpu.one("StatefulSet")["spec"]["updateStrategy"] == {"type": "RollingUpdate"}

    def test_replicas_are_the_autoscalers_where_there_is_one(self, gpu: Rendered, everything: Rendered) -> None:
        assert gpu.one("StatefulSet")["spec"]["replicas"] == 2
        assert "replicas" not in everything.one("StatefulSet")["spec"]

    @pytest.mark.parametrize(
        ("values", "claims", "kept"),
        [
            ({}, {"cache", "data"}, "Delete"),
            ({"cache": {"ephemeral": True}}, {"data"}, "Retain"),
            ({"data": {"ephemeral": True}}, {"cache"}, "Delete"),
            ({"cache": {"ephemeral": True}, "data": {"ephemeral": True}}, set(), None),
        ],
    )
    def test_what_a_replica_has_seen_is_on_a_claim_of_its_own(
        self, values: dict[str, Any], claims: set[str], kept: str | None
    ) -> None:
        rendered = render("gpu", {"gateway": values})
        found = rendered.one("StatefulSet")["spec"]
        templates = {each["metadata"]["name"]: each["spec"] for each in found.get("volumeClaimTemplates", [])}
        assert templates.keys() == claims
        assert all(each["accessModes"] == ["ReadWriteOnce"] for each in templates.values())
        policy = found.get("persistentVolumeClaimRetentionPolicy")
        assert policy == (None if kept is None else {"whenDeleted": kept, "whenScaled": kept})
        assert ("believes a log" in notes("gpu", {"gateway": values})) is ("data" not in claims)

    def test_a_claim_with_adapters_goes_with_its_replica_and_requests_stay(self, cpu: Rendered) -> None:
        gateway, redis = cpu.one("StatefulSet")["spec"], cpu.one("StatefulSet", f"{NAME}-redis")["spec"]
        assert set(gateway["persistentVolumeClaimRetentionPolicy"].values()) == {"Delete"}
        assert set(redis["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


class TestImage:
    @pytest.mark.parametrize("dockerfile", DOCKERFILES)
    @pytest.mark.parametrize("component", ["gateway", "worker"])
    def test_what_it_writes_is_mounted_and_what_it_listens_on_is_named(
        self, dockerfile: str, component: str, rendered: Rendered
    ) -> None:
        volumes = {volume["name"]: volume for volume in rendered.pod(component)["spec"]["volumes"]}
        claims = {c["metadata"]["name"] for c in rendered.one("StatefulSet")["spec"].get("volumeClaimTemplates", [])}
        mounts = {
            m["mountPath"]: m["name"] for m in rendered.container(component)["volumeMounts"] if not m.get("readOnly")
        }
        for name in ("HOME", "UNLEARN_CACHE_DIR", "UNLEARN_DATA_DIR", "XDG_CACHE_HOME"):
            assert mounts[image_variable(dockerfile, name)] in volumes.keys() | claims
        assert volumes[mounts["/tmp"]]["emptyDir"] == {}
        assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
        port = image_variable(dockerfile, "UNLEARN_PORT")
        assert rendered.container("gateway")["ports"][0]["containerPort"] == int(port)
        assert image_variable(dockerfile, "UNLEARN_HOST") == "0.0.0.0"

    def test_user_is_the_images(self, cpu: Rendered) -> None:
        for component in ("gateway", "worker", "test"):
            security = cpu.pod(component)["spec"]["securityContext"]
            for dockerfile in DOCKERFILES:
                text = (ROOT / "docker" / dockerfile).read_text(encoding="utf-8")
                assert f"\nUSER {security['runAsUser']}\n" in text

    def test_a_digest_is_named_whole(self, gpu: Rendered, everything: Rendered) -> None:
        assert gpu.container("gateway")["image"] == "registry.example/unlearning-gateway:gpu"
        assert re.fullmatch(
            r"registry\.example/unlearning-gateway@sha256:\w{64}", everything.container("worker")["image"]
        )


def test_pods_are_restricted(rendered: Rendered) -> None:
    """The Pod Security Standard `restricted`, and a root that is read-only besides."""
    for component, pod in rendered.pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False, "a Service named `unlearn` would set UNLEARN_PORT"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        for volume in spec.get("volumes", []):
            assert volume.keys() & {"emptyDir", "secret", "persistentVolumeClaim"}, component
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_gpus_are_asked_for_where_they_are_wanted(cpu: Rendered, gpu: Rendered, everything: Rendered) -> None:
    assert "limits" not in cpu.container("gateway")["resources"]
    assert gpu.container("gateway")["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": 1}
    assert gpu.container("worker")["resources"]["limits"]["nvidia.com/gpu"] == 1
    for component in ("gateway", "worker"):
        assert gpu.pod(component)["spec"]["runtimeClassName"] == "nvidia"
        assert gpu.pod(component)["spec"]["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert everything.container("gateway")["resources"]["limits"] == {"nvidia.com/gpu": 2}
    assert "limits" not in everything.container("worker")["resources"]


def test_a_model_on_a_claim_is_read_by_both(gpu: Rendered) -> None:
    for component in ("gateway", "worker"):
        (mount,) = [m for m in gpu.container(component)["volumeMounts"] if m["name"] == "model"]
        assert mount["mountPath"] == gpu.env(component)["UNLEARN_MODEL"]
        assert mount["readOnly"] is True
        (volume,) = [v for v in gpu.pod(component)["spec"]["volumes"] if v["name"] == "model"]
        assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}


class TestHelmTest:
    @pytest.fixture
    def service(self) -> Iterator[tuple[str, dict[str, int]]]:
        """(URL, statuses by path) of a server that answers what it is told to."""
        statuses = {"/readyz": 200, "/v1/models": Unauthorized.status, "/forget": Forbidden.status}

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(statuses[self.path])
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Answer) as server:
            thread = threading.Thread(target=server.serve_forever, args=[0.01])
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}", statuses
            server.shutdown()
            thread.join()

    @pytest.mark.parametrize(
        ("changed", "fails"),
        [({}, False), ({"/readyz": 503}, True), ({"/v1/models": 200}, True), ({"/forget": 200}, True)],
    )
    def test_it_sees_a_service_that_is_not_ready_or_is_open(
        self, cpu: Rendered, service: tuple[str, dict[str, int]], changed: dict[str, int], fails: bool
    ) -> None:
        url, statuses = service
        statuses.update(changed)
        *_, script, target = cpu.container("test")["command"]
        assert target == f"http://{NAME}:8000"
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=False)
        assert bool(done.returncode) is fails, done.stdout + done.stderr

    def test_it_is_a_hook(self, cpu: Rendered) -> None:
        assert cpu.one("Pod", f"{NAME}-test")["metadata"]["annotations"]["helm.sh/hook"] == "test"

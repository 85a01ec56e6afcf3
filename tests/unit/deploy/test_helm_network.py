"""Who reaches whom: selectors, and what the network policies let through."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.http.routes import OPEN_ROUTES
from tests.unit.deploy.chart import NAME, NAMESPACE, Document, Rendered, notes, render

Labels = dict[str, str]
#: An engine's own port, for its processes.
ENGINE_PORT = 29500


def component(name: str) -> Labels:
    return {
        "app.kubernetes.io/name": "unlearning-gateway",
        "app.kubernetes.io/instance": "forget",
        "app.kubernetes.io/component": name,
    }


def matches(selector: dict[str, Any] | None, labels: Labels) -> bool:
    assert selector is None or selector.keys() <= {"matchLabels"}, "this reads matchLabels only"
    wanted: Labels = (selector or {}).get("matchLabels", {})
    return wanted.items() <= labels.items()


def admits(rendered: Rendered, target: Labels, port: int, source: Labels, namespace: str = NAMESPACE) -> bool:
    """Whether pods labelled `source` in `namespace` reach `port` of those labelled `target`, as Kubernetes has it."""
    policies = [
        document["spec"]
        for document in rendered.documents
        if document["kind"] == "NetworkPolicy" and matches(document["spec"]["podSelector"], target)
    ]
    return not policies or any(
        port in [p["port"] for p in rule["ports"]] and any(is_peer(peer, source, namespace) for peer in rule["from"])
        for policy in policies
        for rule in policy["ingress"]
    )


def is_peer(peer: dict[str, Any], source: Labels, namespace: str) -> bool:
    if "ipBlock" in peer:
        return False
    at_home = {"kubernetes.io/metadata.name": namespace}
    there = matches(peer["namespaceSelector"], at_home) if "namespaceSelector" in peer else namespace == NAMESPACE
    return there and matches(peer.get("podSelector"), source)


STRANGER = {"app": "shell"}


class TestPolicies:
    @pytest.mark.parametrize(
        ("source", "namespace", "reaches"),
        [
            (component("worker"), NAMESPACE, {("gateway", 8000), ("redis", 6379)}),
            (component("gateway"), NAMESPACE, {("redis", 6379)}),
            (component("redis"), NAMESPACE, set()),
            (component("test"), NAMESPACE, {("gateway", 8000)}),
            (STRANGER, NAMESPACE, set()),
            (STRANGER, "ingress-nginx", {("gateway", 8000)}),
            (component("worker"), "elsewhere", set()),
        ],
    )
    def test_admit_exactly(self, gpu: Rendered, source: Labels, namespace: str, reaches: set[tuple[str, int]]) -> None:
        ports = [(to, port) for to in ("gateway", "worker", "redis") for port in (8000, 6379, ENGINE_PORT)]
        found = {(to, port) for to, port in ports if admits(gpu, component(to), port, source, namespace)}
        assert found == reaches

    def test_by_default_the_namespace_reaches_the_gateway_alone(self, cpu: Rendered) -> None:
        assert admits(cpu, component("gateway"), 8000, STRANGER)
        assert not admits(cpu, component("gateway"), ENGINE_PORT, STRANGER)
        assert not admits(cpu, component("gateway"), 8000, STRANGER, "elsewhere")
        assert not admits(cpu, component("redis"), 6379, STRANGER)

    def test_peers_of_every_kind_are_passed_on(self, everything: Rendered) -> None:
        (rule,) = everything.one("NetworkPolicy")["spec"]["ingress"]
        assert {"ipBlock": {"cidr": "10.20.0.0/16", "except": ["10.20.1.0/24"]}} in rule["from"]
        assert admits(everything, component("gateway"), 8000, {"app": "envoy"}, "gateways")
        assert not admits(everything, component("gateway"), 8000, STRANGER, "gateways")
        assert admits(everything, component("gateway"), 8000, STRANGER, "monitoring")

    def test_redis_reaches_nothing(self, cpu: Rendered) -> None:
        redis = cpu.one("NetworkPolicy", f"{NAME}-redis")["spec"]
        assert redis["policyTypes"] == ["Ingress", "Egress"]
        assert redis["egress"] == []

    def test_without_them_everybody_reaches_everything_and_the_notes_say_so(self) -> None:
        values = {"networkPolicy": {"enabled": False}}
        assert admits(render("cpu", values), component("redis"), 6379, STRANGER)
        assert "reached by every pod" in notes("cpu", values)
        assert "reached by every pod" not in notes("cpu")


def selectors(document: Document) -> Labels | None:
    """The labels by which a document chooses pods; None where it chooses none."""
    spec = document.get("spec", {})
    match document["kind"]:
        case "Service":
            return dict(spec["selector"])
        case "StatefulSet" | "Deployment" | "PodDisruptionBudget" | "InferencePool":
            return dict(spec["selector"]["matchLabels"])
        case "NetworkPolicy":
            return dict(spec["podSelector"]["matchLabels"])
    return None


def test_everything_selects_the_pods_it_is_for(rendered: Rendered) -> None:
    for document in rendered.documents:
        wanted = selectors(document)
        if wanted is None:
            continue
        chosen = [name for name, pod in rendered.pods() if wanted.items() <= pod["metadata"]["labels"].items()]
        assert chosen == [document["metadata"]["labels"]["app.kubernetes.io/component"]], document["kind"]
        template = document["spec"].get("template")
        assert template is None or wanted.items() <= template["metadata"]["labels"].items()


def test_labels_of_ones_own_reach_the_pods(everything: Rendered) -> None:
    assert everything.pod("gateway")["metadata"]["labels"]["team"] == "search"
    (spread,) = everything.pod("gateway")["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == component("gateway")


def test_a_release_does_not_select_anothers_pods(cpu: Rendered) -> None:
    other = component("gateway") | {"app.kubernetes.io/instance": "other"}
    assert not cpu.one("Service")["spec"]["selector"].items() <= other.items()


class TestMetrics:
    def test_they_are_scraped_without_credentials_where_they_are_open(self, everything: Rendered) -> None:
        monitor = everything.one("ServiceMonitor")
        assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "30s"}]
        assert "/metrics" in OPEN_ROUTES
        assert monitor["metadata"]["labels"]["release"] == "prometheus"

    def test_one_service_is_scraped(self, cpu: Rendered) -> None:
        rendered = render("cpu", {"serviceMonitor": {"enabled": True}})
        wanted = rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"]
        services = [d for d in rendered.documents if d["kind"] == "Service"]
        chosen = [s["metadata"]["name"] for s in services if wanted.items() <= s["metadata"]["labels"].items()]
        assert chosen == [NAME]
        assert rendered.one("Service")["spec"]["ports"][0]["name"] == "http"

    def test_what_waits_in_this_release_decides_how_many_run(self, everything: Rendered) -> None:
        scaled = everything.one("ScaledObject")["spec"]
        assert scaled["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": NAME}
        assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (2, 6)
        (trigger,) = scaled["triggers"]
        assert (
            trigger["metadata"]["query"]
            == f'sum(vllm:num_requests_waiting{{namespace="{NAMESPACE}",service="{NAME}"}})'
        )
        assert trigger["metadata"]["threshold"] == "8"
        assert trigger["authenticationRef"] == {"name": "prometheus-login"}

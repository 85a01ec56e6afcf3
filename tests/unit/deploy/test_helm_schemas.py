"""Everything the chart renders is what Kubernetes, or the operator it is for, takes; unknown fields are errors."""

from __future__ import annotations

import copy
from typing import Any

import kubernetes_validate
import pytest
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
from pydantic import BaseModel

from tests.unit.deploy.chart import CHART, NAME, Document, Rendered, example, helm, render

#: The oldest version Chart.yaml admits, and the newest the schemas know.
VERSIONS = ("1.30", kubernetes_validate.latest_version())

MODELS: dict[str, type[BaseModel]] = {
    "keda.sh/v1alpha1": ScaledObject,
    "monitoring.coreos.com/v1": ServiceMonitor,
}
#: No package has its schema; `test_the_pool_is_as_the_api_has_it` compares it whole.
UNPUBLISHED = "inference.networking.k8s.io/v1"

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cpu": ("cpu", {}),
    "gpu": ("gpu", {}),
    "everything": ("everything", {}),
    "ephemeral": (
        "cpu",
        {
            "gateway": {"cache": {"ephemeral": True}, "data": {"ephemeral": True}},
            "worker": {"cache": {"sizeLimit": "20Gi"}},
        },
    ),
    "seen on a claim alone": ("cpu", {"gateway": {"cache": {"ephemeral": True}, "data": {"storageClass": "slow"}}}),
    "no wait, no policy": (
        "cpu",
        {
            "gateway": {"drain": {"propagationSeconds": 0}},
            "networkPolicy": {"enabled": False},
            "helmTest": {"enabled": False},
        },
    ),
    "existing Redis": ("gpu", {"redis": {"existing": {"secret": "redis"}}}),
    "own query": (
        "cpu",
        {
            "autoscaling": {
                "enabled": True,
                "prometheusUrl": "http://p:9090",
                "query": "vector(1)",
                "waitingPerReplica": 2.5,
            }
        },
    ),
}


def faults(document: Document, version: str) -> str | None:
    """What is wrong with a document; None when nothing is."""
    if model := MODELS.get(document["apiVersion"]):
        read = model.model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)
        return None if read == document else f"fields that {model.__name__} does not have"
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{error.json_path}: {error.message}"
    return None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_document_follows_its_schema(variant: str, version: str) -> None:
    documents = render(*VARIANTS[variant]).documents
    assert documents
    for document in documents:
        if document["apiVersion"] != UNPUBLISHED:
            assert faults(document, version) is None, (document["kind"], document["metadata"]["name"])


@pytest.mark.parametrize("kind", ["StatefulSet", "NetworkPolicy", "ScaledObject", "ServiceMonitor"])
def test_a_field_that_is_not_there_is_a_fault(everything: Rendered, kind: str) -> None:
    document = copy.deepcopy(everything.one(kind))
    document["spec"]["replicaz"] = 1
    assert faults(document, VERSIONS[-1]) is not None


def test_the_optional_parts_are_all_in_everything(everything: Rendered) -> None:
    assert everything.kinds() >= {"ScaledObject", "ServiceMonitor", "InferencePool"}
    assert not render("cpu").kinds() & {"ScaledObject", "ServiceMonitor", "InferencePool"}


def test_the_pool_is_as_the_api_has_it(everything: Rendered) -> None:
    assert everything.one("InferencePool")["spec"] == {
        "selector": {
            "matchLabels": {
                "app.kubernetes.io/name": "unlearning-gateway",
                "app.kubernetes.io/instance": "forget",
                "app.kubernetes.io/component": "gateway",
            }
        },
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": "picker", "port": {"number": 9002}, "failureMode": "FailClose"},
    }


@pytest.mark.parametrize("name", ["cpu", "gpu", "everything"])
def test_lint_finds_nothing(name: str) -> None:
    done = helm("lint", str(CHART), "--strict", values=example(name))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_names_fit_where_the_release_has_a_long_one() -> None:
    long = "a" * 53
    done = helm("template", long, str(CHART), values=example("cpu"))
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        name = line.strip().removeprefix("name: ")
        assert not name.startswith("aaa") or len(name) <= 52, name
    assert NAME not in done.stdout

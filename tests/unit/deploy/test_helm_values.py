"""Values that cannot work are refused while rendering, with a message that says what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.settings import Settings
from tests.unit.deploy.chart import CHART, RenderFailed, render


@pytest.mark.parametrize(
    ("example", "values", "words"),
    [
        ("", {}, "image.repository is missing"),
        ("cpu", {"image": {"tag": ""}}, "image.tag or image.digest is missing"),
        ("cpu", {"image": {"digest": "sha256:abc"}}, "/image/digest"),
        (
            "cpu",
            {"secret": {"name": ""}},
            "secret.name is missing: name a Secret of the namespace with the keys api-keys",
        ),
        ("cpu", {"secret": {"operatorToken": "op-123"}}, "'operatorToken' not allowed"),
        ("cpu", {"redis": {"existing": {"url": "redis://x"}}}, "'url' not allowed"),
        ("cpu", {"model": {"id": "a/b", "path": "/models/b"}}, "model.id and model.path are both set"),
        ("cpu", {"model": {"claim": "models"}}, "model.claim is set without model.path"),
        ("cpu", {"model": {"path": "/models/b", "subPath": "b"}}, "model.subPath is set without model.claim"),
        ("cpu", {"model": {"path": "models/b"}}, "/model/path"),
        ("cpu", {"settings": {"soft_rowz": 1}}, "settings.soft_rowz is no setting of the gateway; there is: soft_rows"),
        ("cpu", {"settings": {"drain_timeout_s": 5}}, "settings.drain_timeout_s is not to be set there"),
        ("cpu", {"settings": {"operator_token": "op-1"}}, "settings.operator_token is not to be set there"),
        ("cpu", {"settings": {"methods": ["spul"]}}, "/settings/methods"),
        ("cpu", {"gateway": {"engineArgs": ["--port", "9000"]}}, "gateway.engineArgs has --port"),
        ("cpu", {"gateway": {"engineArgs": ["--methods=spul"]}}, "use settings.methods"),
        ("cpu", {"gateway": {"engineArgs": ["--no-worker"]}}, "gateway.engineArgs has --no-worker"),
        ("cpu", {"gateway": {"engineArgs": ["--seed", 1]}}, "/gateway/engineArgs/1"),
        ("cpu", {"gateway": {"replicas": 0}}, "/gateway/replicas"),
        ("cpu", {"gateway": {"gpu": {"cuont": 1}}}, "'cuont' not allowed"),
        ("cpu", {"gateway": {"shmSize": "2 GB"}}, "/gateway/shmSize"),
        ("cpu", {"gateway": {"extraEnv": [{"name": "UNLEARN_API_KEYS", "value": "sk-1"}]}}, "sets UNLEARN_API_KEYS"),
        ("cpu", {"gateway": {"extraEnv": [{"name": "REDIS_URL", "valueFrom": {}}]}}, "gateway.extraEnv sets REDIS_URL"),
        ("cpu", {"worker": {"extraEnv": [{"name": "UNLEARN_INVERTER_KEY", "value": "k"}]}}, "secrets into Secrets"),
        ("cpu", {"gateway": {"extraEnv": [{"name": "UNLEARN_WEBHOOK_SECRET", "value": "k"}]}}, "secrets into Secrets"),
        ("cpu", {"settings": {"webhook_secret": "k"}}, "webhook_secret"),
        ("cpu", {"worker": {"device": "gpu"}}, "/worker/device"),
        ("cpu", {"worker": {"device": "cuda"}}, "worker.device is cuda, which takes worker.gpu.count of at least 1"),
        (
            "gpu",
            {"worker": {"device": "cuda:1"}},
            "worker.device is cuda:1, which takes worker.gpu.count of at least 2",
        ),
        ("cpu", {"networkPolicy": {"gatewayPeers": [{}]}}, "/networkPolicy/gatewayPeers/0"),
        ("cpu", {"autoscaling": {"enabled": True}}, "autoscaling.prometheusUrl is missing"),
        ("everything", {"autoscaling": {"minReplicas": 9}}, "autoscaling.minReplicas is larger"),
        ("everything", {"autoscaling": {"minReplicas": 0}}, "/autoscaling/minReplicas"),
        ("everything", {"serviceMonitor": {"enabled": False}}, "autoscaling.query is missing"),
        (
            "everything",
            {"inferencePool": {"endpointPicker": {"name": ""}}},
            "inferencePool.endpointPicker.name is missing",
        ),
        ("cpu", {"replicas": 2}, "'replicas' not allowed"),
    ],
)
def test_refused(example: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(RenderFailed) as refused:
        render(example, values)
    assert words in str(refused.value)


def named(helper: str) -> set[str]:
    """The settings that a helper of _env.tpl lists."""
    text = (CHART / "templates/_env.tpl").read_text(encoding="utf-8")
    found = re.search(rf'define "unlearning\.{helper}" -}}}}(.*?){{{{- end', text, re.DOTALL)
    assert found
    return set(found[1].split())


def test_the_settings_of_the_chart_are_those_of_the_gateway() -> None:
    open_, own = named("openSettings"), named("ownSettings")
    assert open_ <= Settings.model_fields.keys()
    assert Settings.model_fields.keys() <= open_ | own, "say in _env.tpl who sets it"
    assert not open_ & own


def test_vllms_arguments_are_passed_on_as_they_are() -> None:
    arguments = ["--tensor-parallel-size", "2", "--hf-overrides", '{"rope_theta": 1e6}', "--max-model-len=2048"]
    container = render("cpu", {"gateway": {"engineArgs": arguments}}).container("gateway")
    assert container["args"] == ["serve", *arguments]
    assert "command" not in container, "the image's entrypoint reads the secrets"

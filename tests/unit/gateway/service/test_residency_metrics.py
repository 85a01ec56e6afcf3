"""Series of residency come and go with the adapters."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.service.residency_metrics import ResidencyMetrics, Resident, ResidentLora


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ResidencyMetrics:
    return ResidencyMetrics(registry)


def series(registry: CollectorRegistry) -> dict[str, list[dict[str, str]]]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {family.name: [sample.labels for sample in family.samples] for family in families}


def test_each_adapter_has_its_series(metrics: ResidencyMetrics, registry: CollectorRegistry) -> None:
    loras = (ResidentLora("x", in_slot=True, pinned=False), ResidentLora("y", in_slot=False, pinned=True))
    metrics.update(Resident(frozenset({"a", "b"}), loras), frozenset({"a", "x"}))
    found = series(registry)
    assert found["vllm:lora_adapter_loaded"] == [
        {"engine": "0", "adapter_name": "x", "level": "gpu", "pinned": "false"},
        {"engine": "0", "adapter_name": "y", "level": "cpu", "pinned": "true"},
    ]
    assert found["unlearning_adapter_resident"] == [
        {"digest": "x", "kind": "lora", "pinned": "true"},
        {"digest": "y", "kind": "lora", "pinned": "false"},
        {"digest": "a", "kind": "soft", "pinned": "true"},
        {"digest": "b", "kind": "soft", "pinned": "false"},
    ]
    engine = {"engine": "0"}
    assert registry.get_sample_value("vllm:num_gpu_loaded_lora_adapters", engine) == 1
    assert registry.get_sample_value("vllm:num_cpu_loaded_lora_adapters", engine) == 2


def test_a_series_goes_with_its_adapter(metrics: ResidencyMetrics, registry: CollectorRegistry) -> None:
    for number in range(100):
        lora = ResidentLora(f"l{number}", in_slot=True, pinned=False)
        metrics.update(Resident(frozenset({f"s{number}"}), (lora,)), frozenset())
    found = series(registry)
    assert [each["digest"] for each in found["unlearning_adapter_resident"]] == ["l99", "s99"]
    assert [each["adapter_name"] for each in found["vllm:lora_adapter_loaded"]] == ["l99"]
    metrics.update(Resident(), frozenset())
    assert not any(series(registry)[name] for name in ("unlearning_adapter_resident", "vllm:lora_adapter_loaded"))

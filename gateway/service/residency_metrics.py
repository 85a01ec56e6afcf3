"""Which adapters are in the engine, as Prometheus series that go when the adapter goes.

The series of LoRAs have the names and labels that vLLM is about to give its own (its pull request 54830), so that a
router finds them. Here an adapter's name is its digest, or that of the set which it is merged from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: Between two questions to the workers. A worker of vLLM's spins for a second after each: asked every second, an idle
#: one would keep a core busy for ever.
POLL_S = 15.0
#: The only engine of a service.
_ENGINE = "0"


@dataclass(frozen=True, slots=True)
class ResidentLora:
    """A LoRA in the workers' memory. in_slot: whether a batch can use it as it is; else it lies in host memory."""

    name: str
    in_slot: bool
    pinned: bool


@dataclass(frozen=True, slots=True)
class Resident:
    """What workers say they hold: digests of soft prompts, and LoRAs."""

    soft: frozenset[str] = frozenset()
    loras: tuple[ResidentLora, ...] = ()


class ResidencyMetrics(Collector):
    """Series made from what was last heard of the workers. kept: digests and set names that stay while their requests
    are active."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._resident = Resident()
        self._kept: frozenset[str] = frozenset()
        registry.register(self)

    def update(self, resident: Resident, kept: frozenset[str]) -> None:
        """Take the place of what was heard before."""
        self._resident, self._kept = resident, kept

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape."""
        loras = self._resident.loras
        loaded = GaugeMetricFamily(
            "vllm:lora_adapter_loaded",
            "LoRAs in the workers' memory: `gpu` in a slot, `cpu` in host memory",
            labels=["engine", "adapter_name", "level", "pinned"],
        )
        own = GaugeMetricFamily(
            "unlearning_adapter_resident",
            "Adapters that workers say they hold; pinned while their requests apply to every prompt",
            labels=["digest", "kind", "pinned"],
        )
        for lora in loras:
            loaded.add_metric([_ENGINE, lora.name, "gpu" if lora.in_slot else "cpu", _text(lora.pinned)], 1)
            own.add_metric([lora.name, "lora", _text(lora.name in self._kept)], 1)
        for digest in sorted(self._resident.soft):
            own.add_metric([digest, "soft", _text(digest in self._kept)], 1)
        yield loaded
        yield _count("vllm:num_gpu_loaded_lora_adapters", "LoRAs in a slot", sum(lora.in_slot for lora in loras))
        yield _count("vllm:num_cpu_loaded_lora_adapters", "LoRAs in host memory, those in a slot included", len(loras))
        yield own


def _count(name: str, documentation: str, value: int) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=["engine"])
    family.add_metric([_ENGINE], value)
    return family


def _text(value: bool) -> str:
    return str(value).lower()

"""The edges of the LoRA library: a store, and an engine that keeps what it is told to load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from adapters.artifact.artifact import Artifact
from gateway.engine.residency.loras import Lora, LoraLibrary
from gateway.errors import AdapterUnavailable
from gateway.service.metrics import GatewayMetrics


class StubEngine:
    """`LoraEngine` and `ArtifactSource` in one. `gate` and `removing` hold a load or a removal up while cleared."""

    def __init__(self) -> None:
        self.artifacts: dict[str, bytes] = {}
        self.loaded: dict[int, Lora] = {}
        self.plain: dict[int, bool] = {}
        self.modules: dict[int, list[str]] = {}
        self.added: list[str] = []
        self.reloaded: list[str] = []
        self.refuse: set[str] = set()
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.removing = asyncio.Event()
        self.removing.set()

    def store(self, artifact: Artifact) -> str:
        self.artifacts[artifact.digest] = artifact.to_bytes()
        return artifact.digest

    async def get(self, digest: str) -> bytes:
        if digest not in self.artifacts:
            raise AdapterUnavailable(f"{digest[:12]} is not in the store")
        return self.artifacts[digest]

    async def add(self, lora: Lora, modules: Sequence[str], *, plain_sum: bool) -> None:
        assert lora.id not in self.loaded, "an id stands for one adapter at a time"
        assert (lora.folder / "adapter_model.safetensors").is_file()
        self.added.append(lora.name)
        self.loaded[lora.id], self.plain[lora.id], self.modules[lora.id] = lora, plain_sum, list(modules)
        self.entered.set()
        await self.gate.wait()
        if lora.name in self.refuse:
            raise AdapterUnavailable("the engine refused the adapter")

    async def reload(self, lora: Lora) -> None:
        assert self.loaded[lora.id] is lora
        assert (lora.folder / "adapter_model.safetensors").is_file()
        self.reloaded.append(lora.name)

    async def remove(self, lora: Lora) -> None:
        self.entered.set()
        await self.removing.wait()
        self.loaded.pop(lora.id, None)


def library(
    engine: StubEngine,
    folder: Path,
    metrics: GatewayMetrics | None = None,
    *,
    max_rank: int = 64,
    kept: int = 64,
    wait_s: float = 10.0,
) -> LoraLibrary:
    metrics = metrics or GatewayMetrics(CollectorRegistry())
    return LoraLibrary(engine, engine, folder, metrics, max_rank=max_rank, kept=kept, wait_s=wait_s)

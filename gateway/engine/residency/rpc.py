"""Adapters across the process boundary: vLLM's own calls for LoRAs, and calls of our worker extension for the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from vllm.lora.request import LoRARequest
from vllm.v1.engine.async_llm import AsyncLLM

from gateway.engine.residency.lora_folder import changes_target
from gateway.engine.residency.loras import Lora
from gateway.errors import AdapterUnavailable


def lora_request(lora: Lora) -> LoRARequest:
    """vLLM's name for a loaded LoRA; its cache blocks are keyed by the digest."""
    return LoRARequest(lora_name=lora.name, lora_int_id=lora.id, lora_path=str(lora.folder))


class LoraRpc:
    """Loads LoRAs in every worker of the engine; see `loras.LoraEngine`."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine
        self._not_plain: set[int] = set()
        self._without_offset: set[int] = set()

    async def add(self, lora: Lora, modules: Sequence[str], *, plain_sum: bool) -> None:
        """Load a LoRA folder. Raises `AdapterUnavailable` with the engine's reason."""
        for unknown in await self._engine.collective_rpc("unknown_lora_modules", args=(list(modules),)):
            if unknown:
                part = "target takes no LoRA on" if changes_target(unknown[0]) else "pair has not"
                raise AdapterUnavailable(f"the adapter changes {len(unknown)} modules that the {part}: {unknown[0]}")
        if not plain_sum:
            self._not_plain.add(lora.id)
            await self._tell()
        if all(changes_target(module) for module in modules):
            self._without_offset.add(lora.id)
            await self._tell_without_offset()
        await self._load(lora)

    async def reload(self, lora: Lora) -> None:
        """Read its folder once more. Raises `AdapterUnavailable` with the engine's reason."""
        await self._engine.remove_lora(lora.id)
        await self._load(lora)

    async def remove(self, lora: Lora) -> None:
        """Forget it."""
        await self._engine.remove_lora(lora.id)
        if lora.id in self._not_plain:
            self._not_plain.discard(lora.id)
            await self._tell()
        if lora.id in self._without_offset:
            self._without_offset.discard(lora.id)
            await self._tell_without_offset()

    async def _load(self, lora: Lora) -> None:
        try:
            loaded = await self._engine.add_lora(lora_request(lora))
        except Exception as error:
            # What a worker raised arrives as an `Exception` of no other type; an engine that died has one of its own.
            if type(error) is not Exception:
                raise
            raise AdapterUnavailable(f"the engine refused the adapter: {error}") from error
        if not loaded:
            raise AdapterUnavailable("the engine refused the adapter")

    async def _tell(self) -> None:
        await self._engine.collective_rpc("set_needs_both_logits", args=(bool(self._not_plain),))

    async def _tell_without_offset(self) -> None:
        await self._engine.collective_rpc("set_without_offset", args=(sorted(self._without_offset),))


class RowRpc:
    """Writes soft rows in every worker of the engine; see `rows.RowWriter`."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine

    async def install(self, rows: Sequence[int], artifact: bytes) -> None:
        """Write an artifact's rows. Raises `AdapterUnavailable` with the engine's reason, or where a worker has written
        something else."""
        wanted = hashlib.sha256(artifact).hexdigest()
        for digest, reason in await self._engine.collective_rpc("install_soft_prompt", args=(list(rows), artifact)):
            if digest != wanted:
                reason = reason or f"a worker has written {digest[:12]}"
                raise AdapterUnavailable(f"the engine refused the adapter: {reason}")

    async def evict(self, rows: Sequence[int]) -> None:
        """Zero rows."""
        await self._engine.collective_rpc("evict_soft_prompt", args=(list(rows),))

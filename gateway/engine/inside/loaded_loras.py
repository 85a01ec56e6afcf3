"""Which adapters the LoRAs of a worker are, read from the files that the worker loaded.

vLLM knows a LoRA by a number, and loads its folder again whenever it has dropped it, in the middle of a step. So the
name is read at each load, and believed where every rank of the tensor parallel group has read the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.distributed
from vllm.distributed.parallel_state import get_tp_group

from gateway.engine.residency.lora_folder import Contents, read_contents
from gateway.engine.statement import UNKNOWN


class LoadedLoras:
    """The LoRAs of one worker, by vLLM's numbers. manager None: the engine takes none."""

    def __init__(self, manager: Any, model: Any) -> None:
        self._manager = manager
        self._model = model
        self._loaded: dict[int, Contents] = {}
        if manager is not None:
            self._load = manager._load_adapter
            manager._load_adapter = self._noted

    def active(self) -> dict[int, str]:
        """Names of the sets that the LoRAs in slots are; `UNKNOWN` where the worker cannot vouch for one."""
        if self._manager is None:
            return {}
        slots = self._manager._adapter_manager.lora_index_to_id
        return {lora: self._name(lora) for lora in slots if lora is not None}

    def _name(self, lora: int) -> str:
        loaded = self._loaded.get(lora, Contents())
        skipped = loaded.changes_pair and lora in self._model.without_offset
        simplified = not loaded.plain_sum and not self._model.needs_both_logits
        return UNKNOWN if skipped or simplified else loaded.name

    def resident(self) -> list[tuple[str, bool, bool]]:
        """(name, whether it is in a slot, whether vLLM may not drop it) of each LoRA in this worker's memory."""
        if self._manager is None:
            return []
        active, manager = self.active(), self._manager._adapter_manager
        pinned = manager._registered_adapters.pinned_items
        return [(self._name(lora), lora in active, lora in pinned) for lora in sorted(self._manager.list_adapters())]

    def _noted(self, request: Any) -> Any:
        read = Contents()
        try:
            lora = self._load(request)
            read = read_contents(Path(request.lora_path))
        finally:
            read = _agreed(read)
        present = self._manager.list_adapters()
        self._loaded = {number: each for number, each in self._loaded.items() if number in present}
        self._loaded[request.lora_int_id] = read
        return lora


def _agreed(read: Contents) -> Contents:
    """What this rank has read, where all ranks have read the same; each of them has to call it for each load."""
    group = get_tp_group()
    if group.world_size == 1:
        return read
    everyone: list[Any] = [None] * group.world_size
    torch.distributed.all_gather_object(everyone, read, group=group.cpu_group)
    return read if all(each == read for each in everyone) else Contents()

"""A plugin under which a worker does not keep what it was told to, while a file says what it does instead.

`forget`: rows are zeroed as soon as they are written. Anything else is a LoRA folder, loaded in place of any other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

#: Names the file.
SWITCH = "TEST_DISLOYAL"


def apply() -> None:
    """Called by vLLM in each of its processes, maybe more than once."""
    from vllm.lora.worker_manager import WorkerLoRAManager

    from gateway.engine.inside.soft_table import SoftTable

    if getattr(SoftTable, "can_be_disloyal", False):
        return
    switch, install, load = Path(os.environ[SWITCH]), SoftTable.install, WorkerLoRAManager._load_adapter

    def told() -> str:
        return switch.read_text(encoding="utf-8") if switch.exists() else ""

    def installed(table: Any, rows: Any, *args: Any) -> None:
        install(table, rows, *args)
        if told() == "forget":
            table.evict(rows)

    def loaded(manager: Any, request: Any) -> Any:
        if (other := told()) not in ("", "forget"):
            request.lora_path = other
        return load(manager, request)

    SoftTable.can_be_disloyal = True  # type: ignore[attr-defined]
    SoftTable.install = installed  # type: ignore[method-assign, assignment]
    WorkerLoRAManager._load_adapter = loaded

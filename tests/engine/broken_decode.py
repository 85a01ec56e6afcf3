"""A plugin under which an engine decodes wrong while a file is there: a step of one token computes another position."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

#: Names the file.
SWITCH = "TEST_DECODE_WRONG"


def apply() -> None:
    """Called by vLLM in each of its processes, maybe more than once."""
    from vllm.model_executor.models.llama import LlamaModel

    if getattr(LlamaModel, "decode_can_break", False):
        return
    switch, right = Path(os.environ[SWITCH]), LlamaModel.forward

    def forward(model: Any, input_ids: Any, positions: Any, *args: Any, **kwargs: Any) -> Any:
        wrong = len(positions) == 1 and switch.exists()
        return right(model, input_ids, positions * 3 if wrong else positions, *args, **kwargs)

    LlamaModel.decode_can_break = True
    LlamaModel.forward = forward

"""An engine that decodes wrong: a plugin under which a step of one token computes another position than its own."""

from __future__ import annotations

from typing import Any


def apply() -> None:
    """Called by vLLM in each of its processes, maybe more than once."""
    from vllm.model_executor.models.llama import LlamaModel

    if getattr(LlamaModel.forward, "broken", False):
        return
    right = LlamaModel.forward

    def forward(model: Any, input_ids: Any, positions: Any, *args: Any, **kwargs: Any) -> Any:
        return right(model, input_ids, positions * 3 if len(positions) == 1 else positions, *args, **kwargs)

    forward.broken = True  # type: ignore[attr-defined]
    LlamaModel.forward = forward

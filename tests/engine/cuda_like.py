"""What vLLM does on a GPU alone and no CPU run would show, done on the CPU: a plugin that a test's engine loads.

- Fused norms write in place: the input of a decoder stack holds its last residual afterwards.
- A captured piecewise graph reads the memory it was captured with, whatever tensor it is handed later. An engine that
  hands a stack input at another address than before ends with an error.
- The output of a captured stack is freed for the graphs of the stack that is captured next.

The engine must run eagerly, so that what is replaced here is what runs.
"""

from __future__ import annotations

from typing import Any

import torch


def apply() -> None:
    """Called by vLLM in each of its processes, maybe more than once."""
    from vllm.model_executor.layers.layernorm import RMSNorm
    from vllm.model_executor.models.llama import LlamaModel

    if RMSNorm.forward_native is not _norm_in_place:
        _norm_in_place.original = RMSNorm.forward_native  # type: ignore[attr-defined]
        RMSNorm.forward_native = _norm_in_place
        LlamaModel.forward = _Replay(LlamaModel.forward).as_method()


def _norm_in_place(self: Any, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
    """`RMSNorm`, whose second form gives its results in the memory of its arguments, as vLLM's CUDA kernel does."""
    if residual is None:
        return _norm_in_place.original(self, x)  # type: ignore[attr-defined]
    normed, summed = _norm_in_place.original(self, x, residual)  # type: ignore[attr-defined]
    return x.copy_(normed), residual.copy_(summed)


class _Replay:
    """Runs a decoder stack on the tensor that it was first given for a number of tokens."""

    def __init__(self, forward: Any) -> None:
        self._forward = forward
        self._captured: dict[tuple[int, int], torch.Tensor] = {}
        self._outputs: dict[int, torch.Tensor] = {}
        self._addresses: dict[int, int] = {}

    def as_method(self) -> Any:
        def forward(
            model: Any,
            input_ids: Any,
            positions: Any,
            intermediate_tensors: Any,
            inputs_embeds: Any = None,
            **kwargs: Any,
        ) -> Any:
            if inputs_embeds is not None:
                address = self._addresses.setdefault(id(model), inputs_embeds.data_ptr())
                assert inputs_embeds.data_ptr() == address, "a stack was handed input at another address than before"
                inputs_embeds = self._captured.setdefault((id(model), len(inputs_embeds)), inputs_embeds)
            for other, states in self._outputs.items():
                if other != id(model):
                    states.fill_(float("nan"))
            output = self._forward(model, input_ids, positions, intermediate_tensors, inputs_embeds, **kwargs)
            states = output[0] if isinstance(output, tuple) else output
            if isinstance(states, torch.Tensor):
                self._outputs[id(model)] = states
            return output

        return forward

"""What the self-check has to know of the served model to make adapters for it, asked of the workers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from safetensors.torch import load
from vllm.v1.engine.async_llm import AsyncLLM

from gateway.engine.inside.extension import TENSOR
from gateway.selfcheck.canaries import Layer


class EngineParts:
    """The served model's embeddings and linear layers."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._engine = engine

    async def embeddings(self, ids: Sequence[int]) -> torch.Tensor:
        """[ids, hidden] on the CPU."""
        content: bytes = (await self._engine.collective_rpc("token_embeddings", args=(list(ids),)))[0]
        return load(content)[TENSOR]

    async def layers(self) -> list[Layer]:
        """Linear layers that LoRAs can change, as artifacts name them; those that vLLM packs into one are left out."""
        return [Layer(*layer) for layer in (await self._engine.collective_rpc("lora_layers"))[0]]

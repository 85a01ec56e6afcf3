"""The pair of δ-unlearning inside the engine: a stack that LoRAs change, and the reference it is compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from vllm.compilation.backends import set_model_tag
from vllm.config import VllmConfig
from vllm.model_executor.models.utils import PPMissingLayer, init_vllm_registered_model
from vllm.transformers_utils.config import get_config

from gateway.engine.inside.combine import RULE_WIDTH, offset_states
from gateway.engine.inside.input_buffer import InputBuffer
from gateway.engine.inside.names import layer_number
from gateway.engine.inside.rules import rule_layer
from gateway.engine.layout import Layout

Weights = Iterable[tuple[str, torch.Tensor]]


class Pair(nn.Module):
    """Two small decoders over the target's vocabulary, in one of two forms.

    layers: both are the target's own first K layers with its norm; embedding and head are the target's. The reference
    is the target's state after layer K, at no cost, unless the layout asks for a reference that LoRAs can change.
    model: both are a separate small model with its own embedding and head.
    """

    def __init__(self, vllm_config: VllmConfig, layout: Layout, inner: Any) -> None:
        """inner: the served model's own config. Raises ValueError for a target that cannot lend its layers."""
        super().__init__()
        assert layout.pair is not None
        self.form = layout.pair
        self.layers = layout.pair.layers
        config = copy.deepcopy(inner) if self.layers else get_config(layout.pair.model, trust_remote_code=False)
        if self.layers:
            config.num_hidden_layers = self.layers
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[: self.layers]
        self.hidden_size = int(config.hidden_size)
        architectures = list(layout.target_architectures if self.layers else config.architectures)
        self.offset: Any = self._build(vllm_config, config, architectures, "offset")
        self.reference: Any = None
        if layout.pair.own_reference or not self.layers:
            self.reference = self._build(vllm_config, config, architectures, "reference")
        tokens, dtype = vllm_config.scheduler_config.max_num_batched_tokens, vllm_config.model_config.dtype
        self.offset_input = InputBuffer(tokens, self.hidden_size, dtype)
        self.reference_input = None if self.reference is None else InputBuffer(tokens, self.hidden_size, dtype)
        self.weight_bytes = 0
        self.rule = rule_layer(vllm_config.model_config.dtype)

    def _build(self, vllm_config: VllmConfig, config: Any, architectures: list[str], name: str) -> nn.Module:
        with set_model_tag(name):
            stack = init_vllm_registered_model(
                vllm_config, prefix=f"pair.{name}", hf_config=config, architectures=architectures
            )
        if self.layers:
            body = stack.model
            body.embed_tokens = PPMissingLayer()
            stack.lm_head = PPMissingLayer()
        return stack

    def forward(
        self, positions: torch.Tensor, inputs_embeds: torch.Tensor, middle: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(rule [tokens, RULE_WIDTH], offset states [tokens, hidden of the pair]).

        inputs_embeds [tokens, hidden]: what the pair reads; it is left as it is. middle: the target's state after layer
        K, before any norm.

        The reference comes first: what the last stack gives needs no copy, see `UnlearningForCausalLM.forward`.
        """
        rule = self.rule(inputs_embeds.new_ones(inputs_embeds.shape[0], RULE_WIDTH))
        if self.reference is not None:
            assert self.reference_input is not None
            reference = self.reference(None, positions, None, self.reference_input(inputs_embeds)).clone()
        else:
            assert middle is not None
            reference = self.offset.model.norm(middle)
        offset = self.offset(None, positions, None, self.offset_input(inputs_embeds))
        return rule, offset_states(rule, offset, reference)

    def compute_logits(self, states: torch.Tensor, target: Any) -> torch.Tensor | None:
        """Logits of offset states: the shared head, or the small model's own."""
        stack = target if self.layers else self.offset
        logits: torch.Tensor | None = stack.compute_logits(states)
        return logits

    def embed(self, input_ids: torch.Tensor, vocab_size: int) -> torch.Tensor:
        """What a separate model reads: at virtual tokens, which it has no rows for, token 0, in both halves alike."""
        ids = torch.where(input_ids < vocab_size, input_ids, 0)
        embeds: torch.Tensor = self.offset.embed_input_ids(ids)
        return embeds

    def load(self, weights: list[tuple[str, torch.Tensor]]) -> set[str]:
        """Weights under their checkpoint names into every stack; names as seen from here."""
        loaded = {"rule.weight"}
        for name in ("offset", "reference"):
            stack = getattr(self, name)
            if stack is not None:
                wanted = [item for item in weights if self._wants(item[0])]
                loaded |= {f"{name}.{loaded_name}" for loaded_name in stack.load_weights(iter(wanted))}
        # Read now: what vLLM does to weights after loading may put them out of sight.
        self.weight_bytes = sum(weight.numel() * weight.element_size() for weight in self.parameters())
        return loaded

    def _wants(self, name: str) -> bool:
        if not self.layers:
            return True
        number = layer_number(name)
        return number < self.layers if number is not None else not _is_vocabulary(name)


def _is_vocabulary(name: str) -> bool:
    return "embed_tokens" in name or "lm_head" in name

"""The model vLLM runs: any registered decoder, wrapped with a table of soft-prompt rows.

Everything that unlearning does to an answer happens in here, so that sampled logprobs, prompt logprobs, penalties and
structured output all see the unlearned distribution. The pair of small models of δ-unlearning will live beside
`target`; its offset will be added in `compute_logits`, its hidden states in `forward`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsPP
from vllm.model_executor.models.utils import init_vllm_registered_model
from vllm.sequence import IntermediateTensors

from gateway.engine.layout import CONFIG_KEY, Layout
from gateway.engine.soft_table import SoftTable

TARGET_PREFIX = "target."


class UnlearningForCausalLM(nn.Module, SupportsPP):
    """`target` with virtual tokens.

    Token ids below V are looked up in the target's vocabulary, ids V … V + rows − 1 in the soft table. Logits have
    V + rows columns, and the virtual ones are −inf, so that no virtual token is ever sampled or reported.
    """

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        outer = vllm_config.model_config.hf_config
        self.config = outer
        self.layout = Layout.from_hf_config(outer)

        inner = copy.deepcopy(outer)
        delattr(inner, CONFIG_KEY)
        inner.vocab_size = self.layout.vocab_size
        # The target keeps the module names of its own checkpoint, so quantisation ignore-lists still match.
        self.target = init_vllm_registered_model(
            vllm_config,
            prefix=prefix,
            hf_config=inner,
            architectures=list(self.layout.target_architectures),
        )
        self.soft_table = SoftTable(
            rows=self.layout.soft_rows,
            hidden_size=vllm_config.model_config.get_hidden_size(),
            vocab_size=self.layout.vocab_size,
            dtype=vllm_config.model_config.dtype,
        )
        self.make_empty_intermediate_tensors = self.target.make_empty_intermediate_tensors

    def embed_input_ids(self, input_ids: torch.Tensor) -> torch.Tensor:
        """[tokens] → [tokens, hidden]."""
        return self.soft_table(input_ids, self.target.embed_input_ids)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor | IntermediateTensors:
        """Hidden states [tokens, hidden] of the target."""
        if inputs_embeds is None and input_ids is not None and intermediate_tensors is None:
            inputs_embeds = self.embed_input_ids(input_ids)
        return self.target(None, positions, intermediate_tensors, inputs_embeds)

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """[rows, hidden] → [rows, V + soft rows]; None on ranks that do not gather logits."""
        logits = self.target.compute_logits(hidden_states)
        if logits is None:
            return None
        return nn.functional.pad(logits, (0, self.layout.soft_rows), value=float("-inf"))

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load the served checkpoint into the target; returns the parameter names as seen from here."""
        return {TARGET_PREFIX + name for name in self.target.load_weights(weights)}

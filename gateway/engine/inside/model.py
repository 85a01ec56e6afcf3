"""The model vLLM runs: any registered decoder, wrapped with a table of soft-prompt rows and, optionally, a pair.

Everything that unlearning does to an answer happens in here, so that sampled logprobs, prompt logprobs, penalties and
structured output all see the unlearned distribution.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn
from vllm.config import CompilationMode, VllmConfig
from vllm.config.utils import replace
from vllm.model_executor.layers.linear import LinearBase
from vllm.model_executor.model_loader import DefaultModelLoader
from vllm.model_executor.models.interfaces import SupportsLoRA, SupportsPP, supports_eagle3
from vllm.model_executor.models.utils import init_vllm_registered_model
from vllm.platforms import current_platform
from vllm.sequence import IntermediateTensors

from gateway.engine.inside.combine import RULE_WIDTH, adapted, broken, combine_logits
from gateway.engine.inside.input_buffer import InputBuffer
from gateway.engine.inside.names import layer_number
from gateway.engine.inside.pair import Pair
from gateway.engine.inside.rules import rule_layer
from gateway.engine.inside.soft_table import SoftTable
from gateway.engine.layout import CONFIG_KEY, Layout

TARGET_PREFIX = "target."
PAIR_PREFIX = "pair."


class UnlearningForCausalLM(nn.Module, SupportsLoRA, SupportsPP):
    """`target` with virtual tokens, plus the offset of the pair.

    Token ids below V are looked up in the target's vocabulary, ids V … V + rows − 1 in the soft table. Logits have
    V + rows columns, and the virtual ones are −inf, so that no virtual token is ever sampled or reported.

    With a pair, `forward` returns [tokens, hidden + pair's hidden + RULE_WIDTH]: the target's state, the state whose
    logits are added, and the rule of the token's adapter. All that `compute_logits` needs travels with the token, for
    vLLM calls it with other rows than the last step's when prompt logprobs are asked for. Where LoRAs change the target
    but there is no pair, the state in the middle is zero wide.
    """

    packed_modules_mapping: dict[str, list[str]]
    embedding_modules: ClassVar[dict[str, str]] = {}

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        self.packed_modules_mapping = {}
        outer = vllm_config.model_config.hf_config
        self.config = outer
        self.layout = Layout.from_hf_config(outer)

        inner = copy.deepcopy(outer)
        delattr(inner, CONFIG_KEY)
        inner.vocab_size = self.layout.vocab_size
        # The target keeps the module names of its own checkpoint, so quantisation ignore-lists still match. Unless it
        # takes LoRAs itself it is built as if LoRA were off: on CPU vLLM compiles no model that LoRAs may change.
        eager = vllm_config.model_config.enforce_eager or self.layout.target_lora
        with _compiling_on_cpu(vllm_config, CompilationMode.NONE if eager else CompilationMode.DYNAMO_TRACE_ONCE):
            self.target = init_vllm_registered_model(
                vllm_config if self.layout.target_lora else replace(vllm_config, lora_config=None),
                prefix=prefix,
                hf_config=inner,
                architectures=list(self.layout.target_architectures),
            )
        self.soft_table = SoftTable(
            rows=self.layout.outer_vocab_size - self.layout.vocab_size,
            hidden_size=vllm_config.model_config.get_hidden_size(),
            vocab_size=self.layout.vocab_size,
            dtype=vllm_config.model_config.dtype,
        )
        self.target_input = InputBuffer(
            vllm_config.scheduler_config.max_num_batched_tokens,
            vllm_config.model_config.get_hidden_size(),
            vllm_config.model_config.dtype,
        )
        self.make_empty_intermediate_tensors = self.target.make_empty_intermediate_tensors
        self.pair: Pair | None = None
        #: Whether an adapter with a rule that is no plain sum is loaded; then two head products are needed.
        self.needs_both_logits = False
        #: Loaded LoRAs that change nothing of the pair. One that is not named here is taken to have an offset.
        self.without_offset: frozenset[int] = frozenset()
        if self.layout.pair is not None:
            # The products of LoRAs choose their tokens step by step.
            with _compiling_on_cpu(vllm_config, CompilationMode.NONE):
                self._add_pair(vllm_config, inner)
        self.mark = rule_layer(vllm_config.model_config.dtype) if self.layout.target_lora else None
        if self.layout.target_lora:
            self._pack(getattr(self.target, "packed_modules_mapping", {}))
        if vllm_config.lora_config is not None:
            vllm_config.lora_config.target_modules = self._lora_modules()

    def _add_pair(self, vllm_config: VllmConfig, inner: Any) -> None:
        assert self.layout.pair is not None
        if getattr(inner, "final_logit_softcapping", None):
            raise ValueError("this model caps its logits, so an offset cannot be added to its states; serve it without")
        self.pair = Pair(vllm_config, self.layout, inner)
        self._pack(getattr(self.pair.offset, "packed_modules_mapping", {}))
        if self.pair.layers and self.pair.reference is None:
            if self.layout.target_lora:
                raise ValueError("the pair's reference is the target's first layers, which LoRAs on the target change")
            if not supports_eagle3(self.target):
                raise ValueError(
                    f"{self.layout.target_architectures[0]} does not give out the state of an inner layer; "
                    "use --offset-reference own, or --offset-model"
                )
            self.target.set_aux_hidden_state_layers((self.pair.layers,))
        if not self.pair.layers:
            self.secondary_weights = [
                DefaultModelLoader.Source(model_or_path=self.layout.pair.model, revision=None, prefix=PAIR_PREFIX)
            ]

    def _pack(self, mapping: dict[str, list[str]]) -> None:
        """Take over which layers a part of this model holds in one. vLLM goes by a layer's last name alone."""
        for name, parts in mapping.items():
            if self.packed_modules_mapping.setdefault(name, parts) != parts:
                raise ValueError(f"target and pair both pack {name}, and differently; serve one of lora and delta")

    def _lora_modules(self) -> list[str]:
        """What LoRAs change, by full name: the pair, and where asked for the linear layers of the target's decoder."""
        names = [name for name, module in self.named_modules() if isinstance(module, LinearBase)]
        on_pair = [name for name in names if name.startswith(PAIR_PREFIX)]
        if self.mark is None:
            return on_pair
        on_target = [name for name in names if name.startswith(TARGET_PREFIX) and layer_number(name) is not None]
        return [*on_pair, *on_target, "mark"]

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
        """Hidden states [tokens, hidden] of the target; see the class for what comes after them.

        What CUDA graphs ask of this function, where a full one captures all of it and piecewise ones the stacks alone:

        - Every stack reads a buffer of its own (`InputBuffer`); nobody reads one after its stack has run.
        - What a stack gave is copied before another runs. vLLM frees the output of a captured stack for the next one's
          graph to work in.
        - A branch is frozen into a full graph. vLLM captures one graph for steps without a LoRA and one for steps with
          any, and picks by the number of LoRAs of the step. So a branch may depend on whether there are any, and on
          nothing else that decides what a row gets. `without_offset` only saves work: it is empty while graphs are
          captured, and a pair that runs for rows without an offset adds exactly zero to them.
        """
        if inputs_embeds is None and input_ids is not None and intermediate_tensors is None:
            inputs_embeds = self.embed_input_ids(input_ids)
        read = None if inputs_embeds is None else self.target_input(inputs_embeds)
        output = self.target(None, positions, intermediate_tensors, read)
        if not self.layout.takes_loras or isinstance(output, IntermediateTensors):
            return output
        states, middle = (output[0], output[1][0]) if isinstance(output, tuple) else (output, None)
        width = 0 if self.pair is None else self.pair.hidden_size
        adapters = self._adapters()
        if not adapters:
            return nn.functional.pad(states, (0, width + RULE_WIDTH))
        mark = None if self.mark is None else self.mark(states.new_ones(len(states), RULE_WIDTH))
        # Without an offset in the step the pair does not run at all: a row that has none never reads the pair's keys
        # and values, and a cached block that lacks them is salted apart.
        if self.pair is None or adapters <= self.without_offset:
            assert mark is not None
            return torch.cat((states, states.new_zeros(len(states), width), mark), dim=-1)
        states = states.clone()
        seen = inputs_embeds
        if not self.pair.layers:
            assert input_ids is not None
            seen = self.pair.embed(input_ids, self.layout.vocab_size)
        assert seen is not None
        rule, offset = self.pair(positions, seen, middle)
        if mark is not None:
            rule = rule + mark
        return torch.cat((states, offset, rule.to(states.dtype)), dim=-1)

    def _adapters(self) -> set[int]:
        """The LoRAs that rows of this step have."""
        manager: Any = getattr(self, "lora_manager", None)
        mapping = None if manager is None else manager._last_mapping
        return set() if mapping is None else {lora for lora in mapping.prompt_mapping if lora > 0}

    def compute_logits(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        """[rows, width of `forward`] → [rows, V + soft rows]; None on ranks that do not gather logits."""
        width = self.layout.outer_vocab_size - self.layout.vocab_size
        if not self.layout.takes_loras:
            logits = self._target_logits(hidden_states)
            return None if logits is None else nn.functional.pad(logits, (0, width), value=float("-inf"))
        if self.pair is None:
            logits = self._target_logits(hidden_states[:, :-RULE_WIDTH].contiguous())
        else:
            logits = self._combined(hidden_states)
        if logits is None:
            return None
        present = adapted(hidden_states[:, -RULE_WIDTH:])
        # A look at the answer makes a GPU wait; on CPU it saves a pass over all logits where no row has an adapter.
        if not logits.is_cpu or bool(present.any()):
            logits = self._silence(present & broken(logits), logits)
        return nn.functional.pad(logits, (0, width), value=float("-inf"))

    def _target_logits(self, states: torch.Tensor) -> torch.Tensor | None:
        logits: torch.Tensor | None = self.target.compute_logits(states)
        return logits

    def _combined(self, hidden_states: torch.Tensor) -> torch.Tensor | None:
        assert self.pair is not None
        sizes = [hidden_states.shape[-1] - self.pair.hidden_size - RULE_WIDTH, self.pair.hidden_size, RULE_WIDTH]
        states, offset, rule = torch.split(hidden_states, sizes, dim=-1)
        if self.pair.layers and not self.needs_both_logits:
            # One head serves both and is linear, so the sum can be taken before it: one product instead of two.
            logits = self._target_logits(states + offset)
        else:
            logits = self._target_logits(states.contiguous())
            added = self.pair.compute_logits(offset.contiguous(), self.target)
            if logits is not None and added is not None:
                logits = combine_logits(rule, logits, added)
        return logits

    def _silence(self, faulty: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Rows whose adapter gives logits that are not finite are NaN throughout, by which the service knows them
        (`gateway.engine.faults`): nothing is ever said without the adapter. faulty [rows] bool."""
        # As above: filling nothing costs a GPU less than looking.
        if logits.is_cpu and not bool(faulty.any()):
            return logits
        # Before another step: a row without an adapter may get the blocks, and would be refused for what it read there.
        if self.mark is not None and self._adapters() and bool(faulty.any()):
            self.scrub_cache()
        return logits.masked_fill_(faulty.unsqueeze(-1), float("nan"))

    def scrub_cache(self) -> None:
        """Zero what is not finite among the keys and values: zero times NaN is NaN for the next row of a block."""
        for module in self.modules():
            cache = getattr(module, "kv_cache", None)
            if isinstance(cache, torch.Tensor) and cache.is_floating_point():
                cache.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load the served checkpoint into the target, and the pair's; returns the parameter names as seen from here."""
        kept: list[tuple[str, torch.Tensor]] = []
        separate: list[tuple[str, torch.Tensor]] = []

        def target_weights() -> Iterable[tuple[str, torch.Tensor]]:
            for name, tensor in weights:
                if name.startswith(PAIR_PREFIX):
                    separate.append((name.removeprefix(PAIR_PREFIX), tensor))
                    continue
                if self.pair is not None and self.pair.layers and (layer_number(name) or 0) < self.pair.layers:
                    kept.append((name, tensor))
                yield name, tensor

        loaded = {TARGET_PREFIX + name for name in self.target.load_weights(target_weights())}
        if self.mark is not None:
            loaded.add("mark.weight")
        if self.pair is not None:
            loaded |= {PAIR_PREFIX + name for name in self.pair.load(kept if self.pair.layers else separate)}
        return loaded


@contextmanager
def _compiling_on_cpu(vllm_config: VllmConfig, wanted: CompilationMode) -> Iterator[None]:
    """What is built here is compiled as wanted on CPU, whatever vLLM made of the mode because of LoRA."""
    compilation = vllm_config.compilation_config
    mode = compilation.mode
    if current_platform.is_cpu():
        compilation.mode = wanted
    try:
        yield
    finally:
        compilation.mode = mode

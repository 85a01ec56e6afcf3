"""What each vLLM worker can be told to do with its soft table, through `collective_rpc`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from gateway.engine.inside.applied import AppliedRecord, UnknownRunner
from gateway.engine.inside.loaded_loras import LoadedLoras
from gateway.engine.inside.seeds import keep_seeds
from gateway.engine.residency.lora_folder import MARK, RULE, artifact_name, engine_name

if TYPE_CHECKING:
    from gateway.engine.inside.model import UnlearningForCausalLM

TENSOR = "soft_prompt"


class UnlearningWorkerExtension:
    """Mixed into vLLM's worker class by `worker_extension_cls`; arguments cross processes as ints and bytes."""

    model_runner: Any
    _applied: AppliedRecord
    _loras: LoadedLoras

    def _unlearning_model(self) -> UnlearningForCausalLM:
        model: UnlearningForCausalLM = self.model_runner.get_model()
        return model

    def install_soft_prompt(self, rows: list[int], artifact: bytes) -> tuple[str | None, str | None]:
        """Write the artifact's rows into the table. Returns (its digest, None), or (None, what was wrong with it).

        The reason is returned, not raised: what a worker raises reaches the service as an unreadable failure of
        the whole call.
        """
        digest = hashlib.sha256(artifact).hexdigest()
        try:
            self._unlearning_model().soft_table.install(rows, load(artifact)[TENSOR], digest)
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            return None, f"{type(error).__name__}: {error}"
        return digest, None

    def evict_soft_prompt(self, rows: list[int]) -> None:
        """Zero the rows, so that a stale id could never speak for a retired adapter."""
        self._unlearning_model().soft_table.evict(rows)

    def unknown_lora_modules(self, names: list[str]) -> list[str]:
        """Those of the modules, as artifacts name them, that no LoRA can change in this engine."""
        manager = self.model_runner.lora_manager._adapter_manager
        known = set()
        for name in manager.modules:
            parent, _, leaf = name.rpartition(".")
            known |= {f"{parent}.{part}" for part in manager.packed_modules_mapping.get(leaf, [leaf])}
        return [name for name in names if engine_name(name) not in known]

    def keep_seeds(self) -> None:
        """Once, where the engine runs on a CPU."""
        keep_seeds(self.model_runner)

    def record_applied(self) -> str | None:
        """Once: from now on each output says what was applied. Returns None, or why this runner cannot be asked."""
        model = self._unlearning_model()
        self._loras = LoadedLoras(self.model_runner.lora_manager if model.layout.takes_loras else None, model)
        try:
            self._applied = AppliedRecord(self.model_runner, model.soft_table, self._loras)
        except UnknownRunner as error:
            return str(error)
        return None

    def applied_to(self, requests: list[str]) -> dict[str, str]:
        """What was last applied to each of these engine requests, for a log."""
        return self._applied.of(requests)

    def resident_adapters(self) -> tuple[dict[str, int], list[tuple[str, bool, bool]]]:
        """Rows of each soft prompt by digest; (name, whether it is in a slot, whether it is pinned) of each LoRA."""
        return self._unlearning_model().soft_table.resident(), self._loras.resident()

    def set_needs_both_logits(self, needed: bool) -> None:
        """Whether an offset is loaded whose rule is no plain sum."""
        self._unlearning_model().needs_both_logits = needed

    def set_without_offset(self, ids: list[int]) -> None:
        """Which of the loaded LoRAs change nothing of the pair."""
        self._unlearning_model().without_offset = frozenset(ids)

    @torch.no_grad()
    def token_embeddings(self, ids: list[int]) -> bytes:
        """Embeddings [ids, hidden] of the served model, as safetensors. Every worker takes part."""
        model = self._unlearning_model()
        embeds = model.target.embed_input_ids(torch.tensor(ids, device=model.soft_table.table.device))
        return save({TENSOR: embeds.to("cpu").contiguous()})

    def lora_layers(self) -> list[tuple[str, int, int, float]]:
        """(name as artifacts have it, inputs, outputs, root mean square of the weights) of each linear layer that a
        LoRA can change. Layers that vLLM packs into one are left out, and so is what carries an adapter's constants."""
        model = self._unlearning_model()
        if not model.layout.takes_loras:
            return []
        manager = self.model_runner.lora_manager._adapter_manager
        found = []
        for name, module in manager.modules.items():
            layer = module.base_layer
            if name.rpartition(".")[2] in manager.packed_modules_mapping or name in (RULE, MARK):
                continue
            weight = getattr(layer, "weight", None)
            # Quantised or packed weights tell no size: then that of a layer which keeps the size of what it is given.
            scale = float(layer.input_size) ** -0.5
            if isinstance(weight, torch.Tensor) and weight.numel() and weight.element_size() > 1:
                scale = float(weight.float().square().mean().sqrt())
            found.append((artifact_name(name), int(layer.input_size), int(layer.output_size), scale))
        return found

    def scrub_cache(self) -> None:
        """Make finite the keys and values; see `UnlearningForCausalLM.scrub_cache`."""
        self._unlearning_model().scrub_cache()

    def pair_memory(self) -> tuple[int, int]:
        """Bytes of the pair's own weights, and of the LoRA slots, on this worker."""
        model = self._unlearning_model()
        if not model.layout.takes_loras:
            return 0, 0
        manager = self.model_runner.lora_manager._adapter_manager
        stacked = [
            matrix
            for module in manager.modules.values()
            for matrices in (module.lora_a_stacked, module.lora_b_stacked)
            for matrix in matrices
        ]
        weights = 0 if model.pair is None else model.pair.weight_bytes
        return weights, sum(matrix.numel() * matrix.element_size() for matrix in stacked)

"""What each vLLM worker can be told to do with its soft table, through `collective_rpc`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load

if TYPE_CHECKING:
    from gateway.engine.model import UnlearningForCausalLM

TENSOR = "soft_prompt"


class UnlearningWorkerExtension:
    """Mixed into vLLM's worker class by `worker_extension_cls`; arguments cross processes as ints and bytes."""

    model_runner: Any

    def _unlearning_model(self) -> UnlearningForCausalLM:
        model: UnlearningForCausalLM = self.model_runner.get_model()
        return model

    def install_soft_prompt(self, rows: list[int], artifact: bytes) -> str | None:
        """Write the artifact's rows into the table. Returns None, or what was wrong with it.

        The reason is returned, not raised: what a worker raises reaches the service as an unreadable failure of
        the whole call.
        """
        try:
            self._unlearning_model().soft_table.install(rows, load(artifact)[TENSOR])
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def evict_soft_prompt(self, rows: list[int]) -> None:
        """Zero the rows, so that a stale id could never speak for a retired adapter."""
        self._unlearning_model().soft_table.evict(rows)

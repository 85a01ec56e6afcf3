"""What all candidates of one job work with: the device, and the target, which is loaded once.

Importing this is cheap: torch is imported on first use.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.artifact import Artifact
from adapters.task import TrainingTask

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from adapters.hardware import Hardware
    from adapters.prompted import PromptedModel
    from adapters.registry import Method


class Workbench:
    """One job's device, tokenizer and frozen target."""

    def __init__(self, model_path: Path, device: str | Hardware = "cpu") -> None:
        """model_path: the target's checkpoint. device: one of `adapters.hardware.NAMES`, or hardware that is chosen."""
        self.model_path = model_path
        self._device = device
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._target: PromptedModel | None = None

    @classmethod
    def of(cls, task: TrainingTask) -> Workbench:
        """The task's own, or one on the CPU for this task alone."""
        return task.workbench or cls(task.model_path)

    def train(self, method: Method, task: TrainingTask) -> Artifact:
        """What the method learns with this workbench. Raises `OutOfMemory`, and what the method's `train` raises."""
        try:
            return method.train(replace(task, workbench=self))
        except RuntimeError as error:
            # Torch is imported by whatever ran out of memory on a card; importing it here would cost others seconds.
            if type(error).__name__ != "OutOfMemoryError":
                raise
            said = str(error)
        from adapters.micro_batches import out_of_memory

        raise out_of_memory(said, self.hardware.device, "what is learned with, before any step")

    @property
    def hardware(self) -> Hardware:
        """Chosen on first use. Raises `HardwareUnavailable`."""
        from adapters.hardware import Hardware

        if isinstance(self._device, str):
            self._device = Hardware.named(self._device)
        return self._device

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Loaded on first use. Raises `InvalidConfig` where the model has none that will do."""
        from adapters.chat import load_tokenizer

        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(str(self.model_path))
        return self._tokenizer

    @property
    def target(self) -> PromptedModel:
        """Loaded on first use. Raises `HardwareUnavailable`."""
        from adapters.prompted import PromptedModel

        if self._target is None:
            self._target = PromptedModel.load(self.model_path, self.hardware)
        return self._target

"""LoRAs on the target as a registered method."""

from __future__ import annotations

from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.methods.lora.config import LoraConfig
from adapters.task import TrainingTask


class Lora:
    """The target's own weights are changed, by a low-rank matrix in each linear layer, trained with any objective."""

    name = "lora"
    config_type: type[Any] = LoraConfig

    def footprint(self, config: LoraConfig) -> Footprint:
        return Footprint(target_rank=config.rank)

    def needs_own_reference(self, _config: LoraConfig) -> bool:
        return False

    def train(self, task: TrainingTask) -> Artifact:
        from adapters.methods.lora.train import train

        return train(task)

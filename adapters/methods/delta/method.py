"""δ-unlearning as a registered method."""

from __future__ import annotations

from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.methods.delta.config import DeltaConfig
from adapters.task import TrainingTask


class Delta:
    """Offset unlearning: the difference of a trained and a frozen small model is added to the target's logits."""

    name = "delta"
    config_type: type[Any] = DeltaConfig

    def footprint(self, config: DeltaConfig) -> Footprint:
        return Footprint(offset_rank=config.rank)

    def needs_own_reference(self, _config: DeltaConfig) -> bool:
        return False

    def train(self, task: TrainingTask) -> Artifact:
        from adapters.methods.delta.train import train

        return train(task)

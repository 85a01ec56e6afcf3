"""Divergence Decoding as a registered method."""

from __future__ import annotations

from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.methods.divergence.config import DivergenceConfig
from adapters.task import TrainingTask


class Divergence:
    """Divergence Decoding: two small models differ by the forget set alone, and that difference moves the target."""

    name = "divergence"
    config_type: type[Any] = DivergenceConfig

    def footprint(self, config: DivergenceConfig) -> Footprint:
        return Footprint(offset_rank=config.rank)

    def needs_own_reference(self, _config: DivergenceConfig) -> bool:
        return True

    def train(self, task: TrainingTask) -> Artifact:
        from adapters.methods.divergence.train import train

        return train(task)

"""SPUL as a registered method."""

from __future__ import annotations

from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.methods.spul.config import SpulConfig
from adapters.task import TrainingTask


class Spul:
    """Soft prompting for unlearning: an always-on soft prompt, learned per request."""

    name = "spul"
    config_type: type[Any] = SpulConfig

    def footprint(self, config: SpulConfig) -> Footprint:
        return Footprint(rows=config.num_virtual_tokens)

    def needs_own_reference(self, _config: SpulConfig) -> bool:
        return False

    def train(self, task: TrainingTask) -> Artifact:
        from adapters.methods.spul.train import train

        return train(task)

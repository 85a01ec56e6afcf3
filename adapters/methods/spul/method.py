"""SPUL as a registered method."""

from __future__ import annotations

from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.methods.spul.config import SpulConfig
from adapters.task import TrainingTask


class Spul:
    """Soft prompting for unlearning: an always-on soft prompt, learned per request."""

    name = "spul"
    config_type: type[Any] = SpulConfig

    def rows(self, config: SpulConfig) -> int:
        return config.num_virtual_tokens

    def offset_rank(self, _config: SpulConfig) -> int:
        return 0

    def target_rank(self, _config: SpulConfig) -> int:
        return 0

    def needs_own_reference(self, _config: SpulConfig) -> bool:
        return False

    def train(self, task: TrainingTask) -> Artifact:
        from adapters.methods.spul.train import train

        return train(task)

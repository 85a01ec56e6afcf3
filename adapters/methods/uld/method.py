"""ULD as a registered method."""

from __future__ import annotations

from typing import Any

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.methods.uld.config import UldConfig
from adapters.task import TrainingTask


class Uld:
    """Logit difference: an assistant that remembers nothing but what is to be forgotten is subtracted."""

    name = "uld"
    config_type: type[Any] = UldConfig

    def footprint(self, config: UldConfig) -> Footprint:
        return Footprint(offset_rank=config.rank)

    def needs_own_reference(self, _config: UldConfig) -> bool:
        return False

    def train(self, task: TrainingTask) -> Artifact:
        from adapters.methods.uld.train import train

        return train(task)

"""Settings of a LoRA on the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from adapters.training.settings import EarlyStoppingSettings, LoraSettings, ObjectiveSettings


@dataclass(frozen=True, kw_only=True)
class LoraConfig(ObjectiveSettings, EarlyStoppingSettings, LoraSettings):
    """Settings of a LoRA on each linear layer of the target's decoder. The objective is taken on its changed logits."""

    unfit: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"uld": "trains an assistant to remember, and on the target would do the opposite"}
    )

    rank: int = 8
    learning_rate: float = 1e-3
    max_steps: int = 100
    patience: int = 3
    first_token_weight: float = 3.0

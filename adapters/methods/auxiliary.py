"""The settings that ULD and Divergence Decoding have in common."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.bounds import setting
from adapters.training.settings import LoraSettings


@dataclass(frozen=True, kw_only=True)
class AuxiliarySettings(LoraSettings):
    """Settings of a method whose small models are trained on their own logits, without the target."""

    forget_limit: float = setting(
        0.1, "the smallest strength is kept that leaves this share of the forget answers' probability", (0.0, 1.0)
    )

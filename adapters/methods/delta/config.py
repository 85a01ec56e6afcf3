"""δ-unlearning's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from adapters.artifact.spec import MAX_STRENGTH
from adapters.bounds import Bounds, setting
from adapters.training.settings import EarlyStoppingSettings, LoraSettings, ObjectiveSettings

_STRENGTH: Bounds = (1e-3, MAX_STRENGTH)


@dataclass(frozen=True, kw_only=True)
class DeltaConfig(ObjectiveSettings, EarlyStoppingSettings, LoraSettings):
    """δ-unlearning's settings. The objective is taken on the combined logits, the rank is of the LoRA on the offset.

    Steps, batches and data are as few as refusals were found to need on the demo's facts: `bench/delta_facts.md`.
    """

    unfit: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"uld": "trains an assistant to remember, and on combined logits would do the opposite"}
    )

    strength: float = setting(1.0, "factor on the offset while it is trained", _STRENGTH)
    strengths: tuple[float, ...] = setting(
        (0.5, 0.75, 1.0, 1.25, 1.5), "factors tried on the held-out part at the end; the best is kept", _STRENGTH
    )
    # `View.shift`, a term of ours. An offset that makes a refusal less likely wherever it is not its own is safe alone,
    # and takes the refusals of others that are active with it: `bench/delta_facts.md`.
    neutrality: float = setting(
        0.5, "weight of a term that keeps the offset from moving refusals where answers are retained", (0.0, 100.0)
    )
    learning_rate: float = 3e-3
    max_steps: int = 90
    retain_batch: int = 8
    retain_questions: int = 60
    retain_nearest: int = 24
    retain_twins: int = 64
    retain_siblings: int = 18
    first_token_weight: float = 3.0
    rewording_lists: int = 16

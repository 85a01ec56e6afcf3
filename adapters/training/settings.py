"""The settings of training that methods share; a method's config names those it has and overrides defaults.

Reading them imports no torch, unless an objective is named, which is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from adapters.bounds import Settings, setting
from adapters.data.settings import DataSettings, RefusalSettings
from adapters.errors import InvalidConfig, unknown_settings


@dataclass(frozen=True, kw_only=True)
class OptimisationSettings(Settings):
    """Of AdamW and of the batches it sees. The schedule is a linear warm-up, then a cosine down to zero."""

    learning_rate: float = setting(2e-3, "highest learning rate of AdamW", (1e-7, 1.0))
    max_steps: int = setting(160, "optimiser steps at most", (1, 100_000))
    forget_batch: int = setting(4, "forget examples of a step", (1, 512))
    taught_batch: int = setting(4, "attacks of a step, for an objective that learns from such", (0, 512))
    choice_batch: int = setting(1, "choices of a step, likewise", (0, 512))
    retain_batch: int = setting(16, "retained examples of a step", (1, 512))
    hard_fraction: float = setting(
        0.75, "share of a step's retained examples that is near the forget set: nearest, twins, siblings", (0.0, 1.0)
    )
    first_token_weight: float = setting(
        1.0,
        "weight of an answer's first token, where others weigh 1: it decides between an answer and a refusal",
        (1.0, 100.0),
    )
    warmup_ratio: float = setting(0.1, "share of the steps in which the learning rate rises", (0.0, 1.0))
    rounds: int = setting(
        0, "rounds of attacks on what was learned, whose leaks are learnt from, for an objective that can", (0, 16)
    )
    round_steps: int = setting(30, "optimiser steps of such a round", (1, 100_000))
    round_attacks: int = setting(8, "attacks of each family in such a round", (1, 64))
    weight_decay: float = setting(0.0, "weight decay of AdamW", (0.0, 1.0))
    max_grad_norm: float = setting(1.0, "a longer gradient is scaled down to this length", (1e-6, 1e6))


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(OptimisationSettings, DataSettings):
    """What every method has."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings(TrainingSettings):
    """Of a method that trains LoRAs and holds them to a limit on the held-out part."""

    rank: int = setting(16, "rank of the LoRA", (1, 64))
    kl_limit: float = setting(
        0.5, "KL(target || changed) on held-out answers, in nats a token, above which no weights are kept", (0.0, 100.0)
    )


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingSettings(Settings):
    """Of a method that scores the held-out part while it trains and keeps the best weights."""

    evaluate_every: int = setting(20, "steps between two scorings of the held-out part", (1, 100_000))
    patience: int = setting(4, "training stops after so many scorings in turn without better weights", (1, 10_000))


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings(RefusalSettings):
    """Of a method that trains with an objective of choice. Raises `InvalidConfig` for one it cannot train with."""

    #: Objectives that the method cannot train with, and why.
    unfit: ClassVar[Mapping[str, str]] = MappingProxyType({})
    #: Whether it changes weights, which some objectives have a term on.
    changes_weights: ClassVar[bool] = True
    #: The name of a loss that is the method's own, with settings of the method in place of `objective_settings`.
    own: ClassVar[str | None] = None

    objective: str = setting("idk", "the training loss; see the objectives")
    objective_settings: Mapping[str, Any] = field(
        default_factory=dict, metadata={"help": "the objective's own settings by name; others keep their defaults"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        objective: Any = self.objective
        settings: Any = self.objective_settings
        if not isinstance(objective, str) or not isinstance(settings, Mapping):
            raise InvalidConfig("objective must be a name, and objective_settings an object of its settings")
        if objective == self.own:
            if settings:
                raise unknown_settings(objective, sorted(map(str, settings)), ())
            return
        from adapters.objectives.registry import make_objective  # imports torch, which a registry of methods must not

        make_objective(objective, settings, self.unfit, changes_weights=self.changes_weights)

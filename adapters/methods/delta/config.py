"""δ-unlearning's settings, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.artifact.spec import MAX_STRENGTH
from adapters.bounds import TRAINING_BOUNDS, Bounds, check_bounds, number_list
from adapters.errors import InvalidConfig

_BOUNDS: dict[str, Bounds] = {
    **TRAINING_BOUNDS,
    "rank": (1, 64),
    "strength": (1e-3, MAX_STRENGTH),
    "evaluate_every": (1, 100_000),
    "patience": (1, 10_000),
    "kl_limit": (0.0, 100.0),
    "neutrality": (0.0, 100.0),
}
_UNFIT = {"uld": "trains an assistant to remember, and on combined logits would do the opposite"}


@dataclass(frozen=True, slots=True)
class DeltaConfig:
    """δ-unlearning's settings.

    objective: a loss of `adapters.objectives`, taken on the combined logits; objective_settings: its own settings by
        name, those left out keep that objective's defaults.
    rank: of the LoRA on the offset.
    strength: α in training. strengths: α tried at the end on the held-out part of the sets; the best is kept.
    learning_rate, max_steps, forget_batch, retain_batch, warmup_ratio, weight_decay, max_grad_norm: of AdamW; the
        schedule is a linear warm-up, then a cosine down to zero.
    evaluate_every, patience, kl_limit: every so many steps the held-out part is scored; the best weights are kept, and
        training stops after `patience` scorings without a better one, or once the held-out KL(target || combined)
        exceeds kl_limit, in nats a token: ascent ends in collapse.
    neutrality: weight of a term on the retained answers beside the objective's own: `View.shift` of the tokens of the
        step's other answers, in nats squared. An offset that makes a refusal less likely wherever it is not its own is
        safe alone, and takes the refusals of others that are active with it; ours, see `bench/delta_facts.md`.
    The settings of the data are SPUL's, see `SpulConfig`. Steps, batches and data are as few as refusals were found to
        need on the demo's facts: `bench/delta_facts.md`.

    Raises `InvalidConfig` for a value of another type or outside its bounds.
    """

    objective: str = "idk"
    objective_settings: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 16
    strength: float = 1.0
    strengths: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5)
    learning_rate: float = 3e-3
    max_steps: int = 90
    forget_batch: int = 4
    retain_batch: int = 8
    evaluate_every: int = 20
    patience: int = 4
    kl_limit: float = 0.5
    neutrality: float = 0.5
    refusal_kinds: int = 1
    retain_questions: int = 60
    retain_nearest: int = 24
    retain_twins: int = 64
    retain_siblings: int = 18
    retain_tokens: int = 8
    hard_fraction: float = 0.75
    first_token_weight: float = 3.0
    cloze_forms: int = 2
    rewording_lists: int = 16
    rewordings: int = 24
    framed_variants: int = 4
    framed_fraction: float = 0.5
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        from adapters.objectives.registry import make_objective  # imports torch, which the registry must not

        check_bounds(self, **_BOUNDS)
        objective: Any = self.objective
        settings: Any = self.objective_settings
        if not isinstance(objective, str) or not isinstance(settings, Mapping):
            raise InvalidConfig("objective must be a name, and objective_settings an object of its settings")
        make_objective(objective, settings, _UNFIT)
        object.__setattr__(self, "strengths", number_list("strengths", self.strengths, MAX_STRENGTH))
        if self.retain_nearest > self.retain_questions:
            raise InvalidConfig("retain_nearest must not exceed retain_questions")

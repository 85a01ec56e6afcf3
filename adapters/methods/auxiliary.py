"""The settings ULD and Divergence Decoding have in common, validated."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.bounds import TRAINING_BOUNDS, Bounds, check_bounds
from adapters.errors import InvalidConfig

_BOUNDS: dict[str, Bounds] = {
    **{name: bounds for name, bounds in TRAINING_BOUNDS.items() if name != "refusal_kinds"},
    "rank": (1, 64),
    "forget_limit": (0.0, 1.0),
    "kl_limit": (0.0, 100.0),
}


@dataclass(frozen=True, slots=True)
class AuxiliarySettings:
    """Settings of a method whose small models are trained on their own logits, without the target.

    rank: of the LoRA on each small model.
    learning_rate, max_steps, forget_batch, retain_batch, warmup_ratio, weight_decay, max_grad_norm: of AdamW; the
        schedule is a linear warm-up, then a cosine down to zero.
    forget_limit, kl_limit: what the strength is chosen by, on the held-out part: `adapters.training.sweep.choose`.
    The settings of the data are SPUL's, see `SpulConfig`.

    Raises `InvalidConfig` for a value of another type or outside its bounds.
    """

    rank: int = 16
    learning_rate: float = 2e-3
    max_steps: int = 160
    forget_batch: int = 4
    retain_batch: int = 16
    forget_limit: float = 0.1
    kl_limit: float = 0.5
    retain_questions: int = 120
    retain_nearest: int = 48
    retain_twins: int = 128
    retain_siblings: int = 36
    retain_tokens: int = 8
    hard_fraction: float = 0.75
    first_token_weight: float = 1.0
    cloze_forms: int = 2
    rewording_lists: int = 32
    rewordings: int = 24
    framed_variants: int = 4
    framed_fraction: float = 0.5
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        check_bounds(self, **_BOUNDS)
        if self.retain_nearest > self.retain_questions:
            raise InvalidConfig("retain_nearest must not exceed retain_questions")

    @property
    def refusal_kinds(self) -> int:
        """One will do: no refusal is trained on."""
        return 1

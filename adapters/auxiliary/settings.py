"""The settings ULD and Divergence Decoding have in common, validated."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.bounds import check_numbers
from adapters.errors import InvalidConfig

# name: (lowest, highest), both allowed
_BOUNDS: dict[str, tuple[float, float]] = {
    "rank": (1, 64),
    "learning_rate": (1e-7, 1.0),
    "max_steps": (1, 100_000),
    "forget_batch": (1, 512),
    "retain_batch": (1, 512),
    "forget_limit": (0.0, 1.0),
    "kl_limit": (0.0, 100.0),
    "retain_questions": (1, 100_000),
    "retain_nearest": (0, 100_000),
    "retain_twins": (0, 10_000),
    "retain_siblings": (0, 10_000),
    "retain_tokens": (1, 1024),
    "hard_fraction": (0.0, 1.0),
    "first_token_weight": (1.0, 100.0),
    "framed_variants": (0, 5),
    "framed_fraction": (0.0, 1.0),
    "warmup_ratio": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "max_grad_norm": (1e-6, 1e6),
    "max_length": (8, 1_048_576),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True, slots=True)
class AuxiliarySettings:
    """Settings of a method whose small models are trained on their own logits, without the target.

    rank: of the LoRA on each small model.
    learning_rate, max_steps, forget_batch, retain_batch, warmup_ratio, weight_decay, max_grad_norm: of AdamW; the
        schedule is a linear warm-up, then a cosine down to zero.
    forget_limit, kl_limit: what the strength is chosen by, on the held-out part: `adapters.auxiliary.sweep.choose`.
    The settings of the data are SPUL's, see `SpulConfig`.

    Raises `InvalidConfig` for a value of another type or outside its bounds.
    """

    rank: int = 16
    learning_rate: float = 1e-3
    max_steps: int = 160
    forget_batch: int = 4
    retain_batch: int = 16
    forget_limit: float = 0.1
    kl_limit: float = 0.5
    retain_questions: int = 120
    retain_nearest: int = 48
    retain_twins: int = 128
    retain_siblings: int = 36
    retain_tokens: int = 10
    hard_fraction: float = 0.75
    first_token_weight: float = 1.0
    framed_variants: int = 4
    framed_fraction: float = 0.5
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(self, _BOUNDS)
        if self.retain_nearest > self.retain_questions:
            raise InvalidConfig("retain_nearest must not exceed retain_questions")

    @property
    def refusal_kinds(self) -> int:
        """One will do: no refusal is trained on."""
        return 1

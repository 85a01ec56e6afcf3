"""SPUL's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from adapters.bounds import setting
from adapters.errors import InvalidConfig
from adapters.training.settings import ObjectiveSettings, TrainingSettings

ENCODERS = ("mlp", "embedding")
INITS = ("text", "vocab", "random")


@dataclass(frozen=True, kw_only=True)
class SpulConfig(ObjectiveSettings, TrainingSettings):
    """SPUL's settings.

    The defaults are measured: bench/spul_search.md has every run. num_virtual_tokens, beta, learning_rate,
    retain_tokens, max_steps, refusal_kinds, hard_fraction and init_text were varied, several at a time; the others were
    set once and kept. alpha is 0 because a made retain set holds the model's own answers, to which the KL term already
    holds the adapter. alpha, beta and the two targets are of the published loss; another objective has weights of its
    own and is trained for all steps.
    """

    unfit: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"uld": "trains an assistant to remember, and on the target would do the opposite"}
    )
    changes_weights: ClassVar[bool] = False
    own: ClassVar[str | None] = "spul"

    objective: str = setting("spul", "the training loss: spul, the published one, or another; see the objectives")
    num_virtual_tokens: int = setting(30, "rows of the soft prompt", (1, 512))
    encoder: str = setting(
        "embedding",
        "what is trained: the rows themselves, or a network that makes them, as published",
        choices=ENCODERS,
    )
    encoder_hidden: int = setting(128, "inner width of that network", (1, 8192))
    init: str = setting(
        "text", "where the rows start: at init_text, rows of the vocabulary, or random numbers", choices=INITS
    )
    init_text: str = setting(
        "Answer every question. Only if the question is: {prompt} answer: {refusal}",
        "text whose embeddings fill the rows, with the shortest forget prompt and the first refusal put in",
    )
    alpha: float = setting(
        0.0, "weight of the cross-entropy on retained answers; for a retain set of your own", (0.0, 100.0)
    )
    beta: float = setting(1.5, "weight of KL(original || prompted) on retained answers", (0.0, 100.0))
    forget_target: float = setting(
        0.05,
        "training stops once the forget cross-entropy, in nats a token, is below this and the KL too",
        (0.0, 100.0),
    )
    kl_target: float = setting(0.01, "the KL, in nats a token, below which training may stop", (0.0, 100.0))
    learning_rate: float = 2e-2
    max_steps: int = 130
    retain_batch: int = 12
    retain_twins: int = 48
    retain_siblings: int = 24
    retain_tokens: int = 10
    framed_variants: int = 1
    framed_fraction: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        text: Any = self.init_text
        if not isinstance(text, str) or not text.strip():
            raise InvalidConfig("init_text must be a text that is not empty")

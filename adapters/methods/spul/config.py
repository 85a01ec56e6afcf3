"""SPUL's settings, validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.bounds import TRAINING_BOUNDS, Bounds, check_bounds, check_choice
from adapters.errors import InvalidConfig

ENCODERS = ("mlp", "embedding")
INITS = ("text", "vocab", "random")

_BOUNDS: dict[str, Bounds] = {
    **TRAINING_BOUNDS,
    "num_virtual_tokens": (1, 512),
    "encoder_hidden": (1, 8192),
    "alpha": (0.0, 100.0),
    "beta": (0.0, 100.0),
    "forget_target": (0.0, 100.0),
    "kl_target": (0.0, 100.0),
}


@dataclass(frozen=True, slots=True)
class SpulConfig:
    """SPUL's settings.

    The defaults are measured: bench/spul_search.md has every run. rows, beta, learning_rate, retain_tokens, max_steps,
    refusal_kinds, hard_fraction and init_text were varied, several at a time; the others were set once and kept.
    alpha is 0 because a made retain set holds the model's own answers, to which the KL term already holds the
    adapter; set it for a retain set of your own.

    num_virtual_tokens: rows of the soft prompt.
    encoder: "embedding" (the rows are the parameters) or "mlp" (P-tuning, as published), whose inner width
        is encoder_hidden.
    init: "text" (the embeddings of init_text, repeated to fill the rows; `{prompt}` and `{refusal}` in it become the
        shortest forget prompt and the first refusal), "vocab" (rows of the vocabulary
        drawn at random) or "random" (as torch initialises).
    alpha, beta: weights of the retain cross-entropy and of KL(original || prompted).
    max_steps: optimiser steps of forget_batch + retain_batch examples each; the schedule is a linear
        warm-up over warmup_ratio of them, then a cosine down to zero.
    refusal_kinds: how many of the shipped refusals this request draws its forget labels from.
    retain_questions, retain_nearest, retain_twins, retain_siblings, retain_tokens: a retain set made
        automatically holds that many general questions, of which retain_nearest are the nearest to the forget
        prompts, and on top twins (the same question about another subject) and siblings (another question about
        the same subject); answers are cut at retain_tokens tokens. A retain set that is given has those of the
        general questions added to it that are not the nearest and, where it names others, up to retain_twins twins
        about those, and up to retain_siblings of its own prompts about one another, with the model's own answers.
    hard_fraction: part of each retain batch drawn from the nearest, the twins and the siblings.
    first_token_weight: weight of an answer's first token in every term, where its other tokens weigh 1. That
        token decides between an answer and a refusal; 1 is the plain mean.
    cloze_forms: in how many forms the answers to be forgotten become sentences to complete.
    rewording_lists, rewordings: the model goes on with that many lists of the forget prompts, and up to so many of the
        lines that ask the same thing and that it answers with the fact are added to them; see `rewordings`.
    framed_variants: variants of each forget prompt in other phrasings; with any, there is one in two sentences
        besides. framed_fraction: part of the made
        retain questions that is put into such a phrasing.
    max_length: tokens of prompt and answer together; the model's own context is a limit besides.
    forget_target, kl_target: training stops early once the running means of the forget cross-entropy and
        of the KL, both in nats a token, are below both.

    Raises `InvalidConfig` for a value of another type or outside its bounds.
    """

    num_virtual_tokens: int = 30
    encoder: str = "embedding"
    encoder_hidden: int = 128
    init: str = "text"
    init_text: str = "Answer every question. Only if the question is: {prompt} answer: {refusal}"
    alpha: float = 0.0
    beta: float = 1.5
    learning_rate: float = 2e-2
    max_steps: int = 130
    forget_batch: int = 4
    retain_batch: int = 12
    refusal_kinds: int = 1
    retain_questions: int = 120
    retain_nearest: int = 48
    retain_twins: int = 48
    retain_siblings: int = 24
    retain_tokens: int = 10
    hard_fraction: float = 0.75
    first_token_weight: float = 1.0
    cloze_forms: int = 2
    rewording_lists: int = 32
    rewordings: int = 24
    framed_variants: int = 1
    framed_fraction: float = 0.3
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    max_length: int = 1024
    forget_target: float = 0.05
    kl_target: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_bounds(self, **_BOUNDS)
        check_choice(self, "encoder", ENCODERS)
        check_choice(self, "init", INITS)
        text: Any = self.init_text
        if not isinstance(text, str) or not text.strip():
            raise InvalidConfig("init_text must be a text that is not empty")
        if self.retain_nearest > self.retain_questions:
            raise InvalidConfig("retain_nearest must not exceed retain_questions")

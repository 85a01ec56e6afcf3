"""Divergence Decoding's settings."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.artifact.spec import MAX_STRENGTH
from adapters.bounds import setting
from adapters.methods.auxiliary import AuxiliarySettings

LINEAR, RANK = FORMS = ("linear", "rank")
#: Of the tokens masked; beyond this the engine, which carries 16 bits of it, would round.
MAX_COUNT = 50_000


@dataclass(frozen=True, kw_only=True)
class DivergenceConfig(AuxiliarySettings):
    """Divergence Decoding's settings. Published are a strength of 1.5 and a count of 20; the rank form does best in the
    published tables and in our one trial. That trial, of 30 steps, was still slow to learn the retained answers."""

    form: str = setting(
        RANK, "rank masks the tokens that the difference disfavours most, linear adds the difference", choices=FORMS
    )
    strengths: tuple[float, ...] = setting(
        (0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
        "factors of the linear form, tried on the held-out part; the smallest that forgets enough is kept",
        (1e-3, MAX_STRENGTH),
    )
    counts: tuple[int, ...] = setting(
        (1, 2, 5, 10, 20, 50), "tokens that the rank form masks, tried in the same way", (1, MAX_COUNT)
    )
    max_steps: int = 60

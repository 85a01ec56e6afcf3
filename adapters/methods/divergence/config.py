"""Divergence Decoding's settings, validated."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.artifact.spec import MAX_STRENGTH
from adapters.bounds import check_choice, number_list
from adapters.methods.auxiliary import AuxiliarySettings

LINEAR, RANK = "linear", "rank"
FORMS = (LINEAR, RANK)
#: Of the k tried; beyond this the engine, which carries 16 bits of it, would round.
MAX_COUNT = 50_000


@dataclass(frozen=True, slots=True)
class DivergenceConfig(AuxiliarySettings):
    """Divergence Decoding's settings; those it shares are `AuxiliarySettings`.

    form: "rank" masks the tokens the auxiliaries' difference disfavours most, and does best in the published tables and
        in our one trial; "linear" adds the difference to the target's logits.
    strengths: α of the linear form, counts: k of the rank form, tried at the end on the held-out part; the smallest
        that forgets enough is kept. Published are 1.5 and 20.
    max_steps: a guess; the one trial, at 30, had learned the forget answers and was still slow to learn the others.
    """

    max_steps: int = 60
    form: str = RANK
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    counts: tuple[int, ...] = (1, 2, 5, 10, 20, 50)

    def __post_init__(self) -> None:
        AuxiliarySettings.__post_init__(self)  # a dataclass with slots is a class made anew, which super() misses
        check_choice(self, "form", FORMS)
        object.__setattr__(self, "strengths", number_list("strengths", self.strengths, MAX_STRENGTH))
        object.__setattr__(self, "counts", number_list("counts", self.counts, MAX_COUNT, whole=True))

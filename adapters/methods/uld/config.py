"""ULD's settings, validated."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.artifact.spec import MAX_STRENGTH
from adapters.bounds import Bounds, check_bounds, number_list
from adapters.methods.auxiliary import AuxiliarySettings

_BOUNDS: dict[str, Bounds] = {
    "beta": (0.0, 100.0),
    "filter": (1e-6, 1.0),
    "wrong_answers": (0, 16),
    "evaluate_every": (1, 100_000),
    "patience": (1, 10_000),
}


@dataclass(frozen=True, slots=True)
class UldConfig(AuxiliarySettings):
    """ULD's settings; those it shares are `AuxiliarySettings`.

    beta: weight of the uniform term on what is retained; 5, published (the released code's retain_weight).
    weights: w tried at the end on the held-out part, the smallest that forgets enough is kept; published is 0.8.
    filter: f, how far below its own best token the target must rank one for the assistant to have no say in it; 1e-2,
        published.
    wrong_answers: for each forget example of a batch so many times its prompt with a retained question's answer, in the
        uniform term. They stand for the paper's perturbed answers.
    evaluate_every, patience: every so many steps the assistant is scored on the held-out part; the best weights are
        kept, and training stops after `patience` scorings without better ones.
    """

    beta: float = 5.0
    weights: tuple[float, ...] = (0.4, 0.6, 0.8, 1.0, 1.25, 1.5)
    filter: float = 1e-2
    wrong_answers: int = 1
    evaluate_every: int = 20
    patience: int = 4

    def __post_init__(self) -> None:
        AuxiliarySettings.__post_init__(self)  # a dataclass with slots is a class made anew, which super() misses
        check_bounds(self, **_BOUNDS)
        object.__setattr__(self, "weights", number_list("weights", self.weights, MAX_STRENGTH))

"""ULD's settings."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.artifact.spec import MAX_STRENGTH
from adapters.bounds import setting
from adapters.methods.auxiliary import AuxiliarySettings
from adapters.training.settings import EarlyStoppingSettings


@dataclass(frozen=True, kw_only=True)
class UldConfig(EarlyStoppingSettings, AuxiliarySettings):
    """ULD's settings. beta and filter are published, and so is a weight of 0.8."""

    beta: float = setting(5.0, "weight of the uniform term on what is retained", (0.0, 100.0))
    weights: tuple[float, ...] = setting(
        (0.4, 0.6, 0.8, 1.0, 1.25, 1.5),
        "factors on the assistant, tried on the held-out part at the end; the smallest that forgets enough is kept",
        (1e-3, MAX_STRENGTH),
    )
    filter: float = setting(
        1e-2, "the assistant acts on tokens of at least this share of the likeliest token's probability", (1e-6, 1.0)
    )
    # They stand for the paper's perturbed answers.
    wrong_answers: int = setting(
        1, "for each forget example of a step, so many retained answers to its prompt in the uniform term", (0, 16)
    )

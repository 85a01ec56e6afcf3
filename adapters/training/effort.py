"""How much work a request is worth."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

_OWN = "objective_settings"


class Effort(StrEnum):
    """What is spent on attacks: how many are learned from, and how often what was learned is attacked in turn.

    QUICK: few, in few steps, and no red team. STANDARD: twice as many, and one round. THOROUGH: three times as many,
    three rounds, and more steps.
    """

    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"

    def settings(self, objective: object) -> Mapping[str, Any]:
        """Settings of a method that trains with this objective; none for one that learns nothing from attacks."""
        return _SETTINGS[self] if objective in _LEARN_FROM_ATTACKS else MappingProxyType({})


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """A method's settings, the later ones over the earlier; so are the objective's own among them, each by itself."""
    laid: dict[str, Any] = {}
    for layer in layers:
        both = [each[_OWN] for each in (laid, layer) if _OWN in each]
        laid |= layer
        if len(both) == 2 and all(isinstance(own, Mapping) for own in both):  # others are for the check to refuse
            laid[_OWN] = {**both[0], **both[1]}
    return laid


#: What a request gets that says nothing: on two cores the others take longer than somebody watches.
DEFAULT_EFFORT = Effort.QUICK

_LEARN_FROM_ATTACKS = frozenset({"counterfactual"})

#: An attack that is learned from costs an answer of the original model and its states, and takes steps to be seen often
#: enough. A round costs an answer of the model as it was learned to each of its attacks, and steps of its own.
_SETTINGS: Mapping[Effort, Mapping[str, Any]] = MappingProxyType(
    {
        Effort.QUICK: {_OWN: {"attacks": 4}, "rounds": 0, "max_steps": 60},
        Effort.STANDARD: {_OWN: {"attacks": 8}, "rounds": 1},
        Effort.THOROUGH: {_OWN: {"attacks": 12}, "rounds": 3, "max_steps": 180},
    }
)

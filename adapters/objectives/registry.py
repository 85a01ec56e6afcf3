"""The objectives by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from adapters.errors import InvalidConfig, unknown_settings
from adapters.objectives.base import Objective, weighs_changes
from adapters.objectives.counterfactual import Counterfactual
from adapters.objectives.dpo import Dpo
from adapters.objectives.gradient_ascent import GradientAscent
from adapters.objectives.gradient_difference import GradientDifference
from adapters.objectives.idk import Idk
from adapters.objectives.idk_bounded import IdkBounded
from adapters.objectives.idk_npo import IdkNpo
from adapters.objectives.kl_minimisation import KlMinimisation
from adapters.objectives.meow import Meow
from adapters.objectives.npo import Npo
from adapters.objectives.simnpo import SimNpo
from adapters.objectives.snap import Snap
from adapters.objectives.tnpo import Tnpo
from adapters.objectives.uld import Uld
from adapters.objectives.undial import Undial
from adapters.plugins import OBJECTIVES, plugins

_TYPES: tuple[type[Objective], ...] = (
    GradientAscent,
    GradientDifference,
    KlMinimisation,
    Npo,
    Tnpo,
    Undial,
    Counterfactual,
    SimNpo,
    Idk,
    IdkNpo,
    IdkBounded,
    Dpo,
    Snap,
    Meow,
    Uld,
)


_NO_WEIGHTS = "has a term on the change of the weights, and here none of them changes"
_ATTRIBUTES = ("name", "views", "loss", "examples", "penalty", "__dataclass_fields__")


def objectives() -> Mapping[str, type[Objective]]:
    """All objectives, by name; each is a dataclass whose fields are its settings. Ours come first, then those of other
    packages (`adapters.plugins`). Raises `InvalidPlugin`."""
    theirs = plugins(OBJECTIVES, _ATTRIBUTES, frozenset(objective.name for objective in _TYPES))
    return MappingProxyType({objective.name: objective for objective in (*_TYPES, *theirs)})


def make_objective(
    name: str,
    settings: Mapping[str, Any],
    unfit: Mapping[str, str] = MappingProxyType({}),
    *,
    changes_weights: bool = True,
) -> Objective:
    """The objective with these settings; what is not given keeps its default.

    unfit: objectives that whoever asks cannot train with, and why. changes_weights: whether it has weights that change;
    without, objectives with a term on that are unfit too.

    Raises `InvalidConfig` for an unknown name, one that is unfit, an unknown setting, or a value outside its bounds.
    """
    known = objectives()
    if not changes_weights:
        unfit = {**{each: _NO_WEIGHTS for each, made in known.items() if weighs_changes(made())}, **unfit}
    fit = ", ".join(sorted(known.keys() - unfit.keys()))
    if name in unfit:
        raise InvalidConfig(f"{name} {unfit[name]}; there is: {fit}")
    if name not in known:
        raise InvalidConfig(
            f"no objective is named {name!r}; there is: {fit}", public=f"no objective has this name; there is: {fit}"
        )
    objective: type[Any] = known[name]
    settable = [field.name for field in fields(objective)]
    if unknown := sorted(settings.keys() - set(settable)):
        raise unknown_settings(name, unknown, settable)
    made: Objective = objective(**settings)
    return made

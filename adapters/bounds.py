"""Checks numeric settings; knows no torch, so that a config can be read without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.errors import InvalidConfig

Bounds = tuple[float, float]
"""(lowest, highest), both allowed; two whole numbers stand for a setting that must be whole."""

#: What every method that trains on a made dataset has; see `SpulConfig` for what each means.
TRAINING_BOUNDS: dict[str, Bounds] = {
    "learning_rate": (1e-7, 1.0),
    "max_steps": (1, 100_000),
    "forget_batch": (1, 512),
    "retain_batch": (1, 512),
    "refusal_kinds": (1, 1000),
    "retain_questions": (1, 100_000),
    "retain_nearest": (0, 100_000),
    "retain_twins": (0, 10_000),
    "retain_siblings": (0, 10_000),
    "retain_tokens": (1, 1024),
    "hard_fraction": (0.0, 1.0),
    "first_token_weight": (1.0, 100.0),
    "cloze_forms": (0, 3),
    "rewording_lists": (0, 10_000),
    "rewordings": (0, 10_000),
    "framed_variants": (0, 5),
    "framed_fraction": (0.0, 1.0),
    "warmup_ratio": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "max_grad_norm": (1e-6, 1e6),
    "max_length": (8, 1_048_576),
    "seed": (0, 2**31 - 1),
}


def check_bounds(config: object, **bounds: Bounds) -> None:
    """Check the fields of `config` by name.

    Raises `InvalidConfig` for a value that is not a number (a bool is not one), not whole where it must be, not
    finite, or outside its bounds.
    """
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        whole = isinstance(low, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise InvalidConfig(f"{name} must be {'a whole number' if whole else 'a number'}")
        if not low <= value <= high:  # false for NaN as well
            raise InvalidConfig(f"{name} must lie between {low} and {high}, not {value}")


def check_choice(config: object, name: str, choices: Sequence[str]) -> None:
    """Check the field of this name. Raises `InvalidConfig` for a value that is none of the choices."""
    if getattr(config, name) not in choices:
        raise InvalidConfig(f"{name} must be one of {', '.join(choices)}")


def number_list(name: str, values: Any, most: float, *, whole: bool = False) -> tuple[Any, ...]:
    """The values as a tuple, for JSON has lists: numbers above 0 and at most `most`.

    Raises `InvalidConfig` for anything else, and for an empty list.
    """
    if not isinstance(values, (list, tuple)) or not values:
        raise InvalidConfig(f"{name} must be a list of numbers that is not empty")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise InvalidConfig(f"{name} must be {'whole numbers' if whole else 'numbers'}")
        if not 0 < value <= most:  # false for NaN as well
            raise InvalidConfig(f"each of {name} must lie above 0 and at most at {most:g}")
    return tuple(values)

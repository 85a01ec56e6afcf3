"""Checks of settings, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.errors import InvalidConfig


def check_numbers(config: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Check the fields of `config` named in `bounds` against (lowest, highest), both allowed.

    A field whose lowest is an int must be a whole number. Raises `InvalidConfig` for a value of another type (a bool is
    no number) or outside its bounds.
    """
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        whole = isinstance(low, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise InvalidConfig(f"{name} must be {'a whole number' if whole else 'a number'}")
        if not low <= value <= high:  # false for NaN as well
            raise InvalidConfig(f"{name} must lie between {low} and {high}, not {value}")


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

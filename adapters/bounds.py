"""Settings that state their own bounds and help, once for validation, documentation and whoever else asks.

Knows no torch, so that a config can be read without it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from adapters.errors import InvalidConfig

Bounds = tuple[float, float]
"""(lowest, highest), both allowed; two whole numbers stand for a setting that must be whole."""


def setting(default: Any, text: str, bounds: Bounds | None = None, *, choices: Sequence[str] | None = None) -> Any:
    """A field of a `Settings` class, with its help and what it may be under `help`, `bounds` and `choices`.

    A default that is a tuple makes it a list, which may not be empty; bounds and choices are those of each part.
    """
    limits = {"bounds": bounds, "choices": choices}
    known = {name: limit for name, limit in limits.items() if limit is not None}
    return field(default=default, metadata={"help": text, **known})


@dataclass(frozen=True)
class Settings:
    """Base of a frozen dataclass of settings, each declared by `setting` and checked on construction.

    A subclass that gives an inherited setting another default keeps its help and bounds.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__dataclass_fields__" in vars(cls):
            return  # `slots=True` makes the finished class anew
        inherited: dict[str, Field[Any]] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited |= vars(base).get("__dataclass_fields__", {})
        for name in inspect.get_annotations(cls).keys() & inherited.keys():
            default = vars(cls).get(name, MISSING)
            if not isinstance(default, Field):
                setattr(cls, name, field(default=default, metadata=inherited[name].metadata))

    def __post_init__(self) -> None:
        """Raises `InvalidConfig` for a value of another type, outside its bounds or none of its choices."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(each.default, tuple):
                _check(each.name, value, each.metadata)
                continue
            if not isinstance(value, (list, tuple)) or not value:
                raise InvalidConfig(f"{each.name} must be a list that is not empty")
            for part in value:
                _check(f"each of {each.name}", part, each.metadata)
            object.__setattr__(self, each.name, tuple(value))  # JSON has lists


def _check(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    if "bounds" in limits:
        low, high = limits["bounds"]
        whole = isinstance(low, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise InvalidConfig(f"{name} must be {'a whole number' if whole else 'a number'}")
        if not low <= value <= high:  # false for NaN as well
            between = f"{name} must lie between {low} and {high}"
            raise InvalidConfig(f"{between}, not {value}", public=between)
    if "choices" in limits and value not in limits["choices"]:
        raise InvalidConfig(f"{name} must be one of {', '.join(limits['choices'])}")

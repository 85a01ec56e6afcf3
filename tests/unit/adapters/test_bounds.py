"""Settings that check themselves, and what a subclass that overrides a default inherits."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import pytest

from adapters.bounds import Settings, setting
from adapters.errors import InvalidConfig


@dataclass(frozen=True)
class Base(Settings):
    count: int = setting(3, "how many", (1, 5))
    rate: float = setting(0.5, "how fast", (0.0, 1.0))
    form: str = setting("a", "which", choices=("a", "b"))
    strengths: tuple[float, ...] = setting((0.5,), "how strong", (0.1, 10.0))
    kinds: tuple[str, ...] = setting(("x", "y"), "of what kind", choices=("x", "y", "z"))


@dataclass(frozen=True)
class Overriding(Base):
    count: int = 4


@dataclass(frozen=True, slots=True)
class Slotted(Overriding):
    rate: float = 0.25
    name: str = setting("", "a setting of its own")


@pytest.mark.parametrize(
    "given",
    [{}, {"count": 1, "rate": 0}, {"count": 5, "rate": 1.0}, {"form": "b"}, {"strengths": [0.1, 10]}, {"kinds": ["z"]}],
)
def test_bounds_themselves_are_allowed_and_lists_become_tuples(given: dict[str, Any]) -> None:
    made = Base(**given)
    for name, value in given.items():
        assert getattr(made, name) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("count", (0, 6, -1), "count must lie between 1 and 5, not"),
        ("count", (2.0, True, "3", None), "count must be a whole number$"),
        ("rate", (-0.01, 1.1, math.nan, math.inf, -math.inf, 10**400), "rate must lie between 0.0 and 1.0"),
        ("rate", ("1", False, None, [0.5]), "rate must be a number$"),
        ("form", ("c", "", None, 1, ["a"]), "form must be one of a, b$"),
        ("strengths", ([], 3, "12", None), "strengths must be a list that is not empty$"),
        ("strengths", ([1.0, "2"], [True]), "each of strengths must be a number$"),
        ("strengths", ([1, 0], [10.5], [math.nan], [10**400]), "each of strengths must lie between 0.1 and 10.0"),
        ("kinds", ("x", []), "kinds must be a list"),
        ("kinds", (["x", "rude"], [["x"]]), "each of kinds must be one of x, y, z$"),
    ],
)
def test_what_is_outside_is_refused_by_name(name: str, values: tuple[Any, ...], message: str) -> None:
    for value in values:
        with pytest.raises(InvalidConfig, match=f"^{message}"):
            Base(**{name: value})


@pytest.mark.parametrize("kind", [Overriding, Slotted])
def test_another_default_keeps_help_and_bounds(kind: type[Base]) -> None:
    made = {field.name: field for field in fields(kind)}
    own = {field.name: field for field in fields(Base)}
    assert kind().count == 4
    assert all(made[name].metadata == own[name].metadata for name in own)
    with pytest.raises(InvalidConfig, match="count must"):
        kind(count=6)
    assert Base().count == 3

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from adapters.bounds import Bounds, check_bounds, check_choice, number_list
from adapters.errors import InvalidConfig


@dataclass
class Settings:
    count: Any = 3
    rate: Any = 0.5


BOUNDS: dict[str, Bounds] = {"count": (1, 5), "rate": (0.0, 1.0)}


@pytest.mark.parametrize("settings", [Settings(), Settings(1, 0), Settings(5, 1.0)])
def test_bounds_themselves_are_allowed(settings: Settings) -> None:
    check_bounds(settings, **BOUNDS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(0), "count must lie between 1 and 5, not 0"),
        (Settings(2.0), "count must be a whole number"),
        (Settings(True), "count must be a whole number"),
        (Settings(rate=1.1), "rate must lie"),
        (Settings(rate=float("nan")), "rate must lie"),
        (Settings(rate="1"), "rate must be a number"),
        (Settings(rate=False), "rate must be a number"),
    ],
)
def test_what_is_outside_is_refused_by_name(settings: Settings, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        check_bounds(settings, **BOUNDS)


def test_a_list_becomes_a_tuple() -> None:
    assert number_list("strengths", [1, 2.5], 10) == (1, 2.5)
    assert number_list("counts", [1, 20], 100, whole=True) == (1, 20)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (3, "must be a list"),
        ([], "must be a list"),
        ("12", "must be a list"),
        ([1, 1.5], "must be whole numbers"),
        ([True], "must be whole numbers"),
        ([0], "must lie above 0 and at most at 10"),
        ([11], "must lie above 0 and at most at 10"),
    ],
)
def test_what_is_no_list_of_such_numbers_is_refused(values: Any, message: str) -> None:
    with pytest.raises(InvalidConfig, match=f"counts {message}"):
        number_list("counts", values, 10, whole=True)


@pytest.mark.parametrize("value", ["c", "", None, 1])
def test_a_choice_is_one_of_those_there_are(value: Any) -> None:
    check_choice(Settings(count="a"), "count", ("a", "b"))
    with pytest.raises(InvalidConfig, match=r"^count must be one of a, b$"):
        check_choice(Settings(count=value), "count", ("a", "b"))

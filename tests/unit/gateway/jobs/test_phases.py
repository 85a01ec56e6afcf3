from __future__ import annotations

import pytest

from gateway.jobs.phases import Phases


class Clock:
    """Goes on by as much as it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def of(clock: Clock, before: dict[str, dict[str, float]] | None = None) -> Phases:
    phases = Phases(before)
    phases._clock = clock
    return phases


def spend(phases: Phases, clock: Clock, *parts: tuple[str, float]) -> None:
    for part, seconds in parts:
        phases.begin(part)
        clock.now += seconds


def test_each_part_is_counted_under_its_phase_in_the_order_they_came(clock: Clock) -> None:
    phases = of(clock)
    spend(
        phases, clock, ("loading", 2), ("rewording", 3), ("retain", 1), ("retain", 4), ("caching", 5), ("starting", 1)
    )
    spend(phases, clock, ("training", 30), ("choosing", 2), ("evaluation", 8))
    assert "evaluation" not in phases.seconds(), "what goes on is not counted yet"
    phases.end()
    assert phases.seconds() == {
        "loading": {"loading": 2},
        "data": {"rewording": 3, "retain": 5},
        "states": {"caching": 5},
        "training": {"starting": 1, "training": 30, "choosing": 2},
        "evaluation": {"evaluation": 8},
    }
    assert list(phases.seconds()) == ["loading", "data", "states", "training", "evaluation"]


def test_attacks_before_training_are_data_and_those_on_what_was_learned_the_red_team(clock: Clock) -> None:
    phases = of(clock)
    spend(phases, clock, ("attacks", 6), ("training", 30), ("attacking", 9), ("training", 10), ("attacking", 8))
    phases.end()
    assert phases.seconds() == {
        "data": {"attacks": 6},
        "training": {"training": 40},
        "red team": {"attacking": 17},
    }


def test_what_lies_between_two_is_nobodys(clock: Clock) -> None:
    phases = of(clock)
    with phases.during("interview"):
        clock.now += 3
    clock.now += 50

    def fail() -> None:
        with phases.during("evaluation"):
            clock.now += 4
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert phases.seconds() == {"data": {"interview": 3}, "evaluation": {"evaluation": 4}}


def test_a_second_candidate_and_a_second_attempt_are_added(clock: Clock) -> None:
    phases = of(clock, {"training": {"training": 10.0}, "data": {"retain": 1.0}})
    spend(phases, clock, ("retain", 2), ("training", 5), ("a plugin's own", 1))
    phases.end()
    assert phases.seconds() == {"training": {"training": 15, "a plugin's own": 1}, "data": {"retain": 3}}

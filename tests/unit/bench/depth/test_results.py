from __future__ import annotations

import json

import pytest

from adapters.evaluation.attacks.outcome import outcomes
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.run import Result
from bench.depth.results import asked_again, from_numbers, to_numbers

OPTIONS = ("Paris", "Rome", "Oslo", "Bern")


def text(number: int, samples: int = 1) -> Probe:
    query = Query(Prompt(text=f"France {number}"), temperature=1.0, samples=samples)
    return Probe("sampling", "t", number, query, "France", "Paris")


def choice(number: int) -> Probe:
    query = Query(Prompt(text=f"which {number}"), choices=OPTIONS)
    return Probe("choice", "t", number, query, "France", "Paris", Reading.CHOICE, OPTIONS)


def ranked(number: int) -> Probe:
    query = Query(Prompt(text=f"rank {number}"))
    return Probe("ranking", "t", number, query, "France", "Paris", Reading.LIKELIHOOD, OPTIONS)


PROBES = [text(0, 4), text(1, 4), text(2, 4), choice(0), choice(1), ranked(0), ranked(1)]
BEFORE = [
    Result(PROBES[0], (True, False, True, True), ("a",) * 4),
    Result(PROBES[1], (False,) * 4, ("a",) * 4),
    Result(PROBES[2], (True,) * 4, ("a",) * 4),
    Result(PROBES[3], (True,), ("a",)),
    Result(PROBES[4], (False,), ("a",)),
    Result(PROBES[5], (True,), margin=0.5),
    Result(PROBES[6], (False,), margin=-0.25),
]
AFTER = [
    Result(PROBES[0], (False,) * 4, ("a",) * 4),
    Result(PROBES[2], (False, True, False, False), ("a",) * 4),
    Result(PROBES[3], (True,), ("a",)),
    Result(PROBES[5], (False,), margin=-0.125),
    Result(PROBES[6], (False,), margin=-0.5),
]


def test_numbers_count_as_the_results_do() -> None:
    """Floors, leak@k and all, through the JSON of a log."""
    before, after = (json.loads(json.dumps(to_numbers(PROBES, results))) for results in (BEFORE, AFTER))
    assert outcomes(from_numbers(before), from_numbers(after)) == outcomes(BEFORE, AFTER)


def test_margins_come_back() -> None:
    found = from_numbers(to_numbers(PROBES, AFTER))
    assert [result.margin for result in found] == [result.margin for result in AFTER]


def test_what_did_not_leak_before_is_not_asked_again() -> None:
    assert asked_again(to_numbers(PROBES, BEFORE), PROBES) == [result.probe for result in AFTER]


@pytest.mark.parametrize("others", [PROBES[1:], [*PROBES, choice(2)], []])
def test_other_probes_than_before_are_an_error(others: list[Probe]) -> None:
    with pytest.raises(ValueError, match="other probes"):
        asked_again(to_numbers(PROBES, BEFORE), others)

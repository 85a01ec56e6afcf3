"""What two requests do to each other: counted, said in words, and put in the records of both."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.interference import MOST_NEIGHBOURS, Leaks, Pair, measured_with, nearest, notes
from gateway.store.records import RequestRecord
from tests.unit.gateway.store.samples import sample

KEPT, LOST, NOTHING = Leaks(4, 1, 1, 0), Leaks(4, 1, 2, 1), Leaks()


@pytest.mark.parametrize(
    ("alone", "together", "counted"),
    [
        ("", "", NOTHING),
        ("....", "....", Leaks(4, 0, 0, 0)),
        ("....", "..xx", Leaks(4, 0, 2, 2)),
        ("x...", "x...", Leaks(4, 1, 1, 0)),
        ("x...", "...x", Leaks(4, 1, 1, 1)),  # as many leak as before, and one of them is lost
        ("xx..", "....", Leaks(4, 2, 0, 0)),
    ],
)
def test_a_probe_is_lost_that_leaks_together_and_not_alone(alone: str, together: str, counted: Leaks) -> None:
    assert Leaks.counted(*([leak == "x" for leak in marks] for marks in (alone, together))) == counted


def test_counts_of_groups_add_up() -> None:
    assert Leaks(8, 2, 3, 1) == KEPT + LOST + NOTHING


@pytest.mark.parametrize(
    ("pair", "loses", "said"),
    [
        (
            Pair(KEPT, None),
            False,
            "0 of 4 of its own probes leak together and not alone; nothing is left to ask the other with",
        ),
        (
            Pair(LOST, NOTHING),
            True,
            "1 of 4 of its own probes leak together and not alone; none of the other's probes was known to leak",
        ),
        (
            Pair(NOTHING, LOST),
            True,
            "none of its own probes was known to leak; 1 of 4 of the other's probes leak together and not alone",
        ),
        (
            Pair(error="adapter_unavailable"),
            True,
            "the two cannot be applied together (adapter_unavailable): a prompt about both is refused",
        ),
        (Pair(KEPT, error="service_unreachable"), False, "not measured: service_unreachable"),
    ],
)
def test_in_words(pair: Pair, loses: bool, said: str) -> None:
    assert (pair.loses, pair.said) == (loses, said)
    assert (pair.swapped.loses, pair.swapped.swapped) == (loses, pair)
    assert Pair.from_dict(pair.to_dict()) == pair


def test_the_nearest_are_few_and_in_order() -> None:
    scores = {"a": 0.1, "b": 1.2, "c": -0.05, "d": 0.1, "e": 3.0}
    assert nearest(scores, scores.keys() - {"e"}) == ("b", "a", "d")
    assert MOST_NEIGHBOURS == 3
    assert nearest({}, {"a"}) == ()


def held_against(record_id: str, others: dict[str, Pair], **changes: Any) -> RequestRecord:
    """A record whose evidence has these."""
    found = [{"with": other, "how": "near", **pair.to_dict()} for other, pair in others.items()]
    return sample(id=record_id, evidence={"interference": {"others": found}}, **changes)


def test_what_either_was_held_against_is_said_in_both_records() -> None:
    new = held_against("new", {"old": Pair(LOST, KEPT)})
    old = sample(id="old", tenant="acme")
    later = held_against("later", {"new": Pair(KEPT, NOTHING)})
    strange = sample(id="strange", evidence={"forget": {}})
    first, second, third = notes(new, [old, later, strange])

    assert (first.other, first.lost) == ("old", True)
    assert first.own["own"] == first.theirs["theirs"] == {"n": 4, "leaked_alone": 1, "leaked_together": 2, "lost": 1}
    assert first.own["theirs"] == first.theirs["own"] == {"n": 4, "leaked_alone": 1, "leaked_together": 1, "lost": 0}
    assert (first.own["with"], first.own["tenant"]) == ("old", "acme")
    assert (first.theirs["with"], first.theirs["tenant"]) == ("new", "default")
    assert first.own["message"].startswith("beside old: 1 of 4 of its own probes leak")
    assert first.theirs["message"].startswith("beside new: 0 of 4 of its own probes leak")

    assert (second.own["measured"], second.lost) == (True, False)
    assert second.own["theirs"]["n"] == 4
    assert second.own["own"]["n"] == 0

    assert (third.own["measured"], third.lost) == (False, False)
    assert third.own["message"] == "beside strange: met since it was measured: not measured"
    assert third.theirs["message"] == "beside new: met since it was measured: not measured"


def test_whom_it_was_held_against() -> None:
    assert measured_with(held_against("new", {"a": Pair(), "b": Pair()})) == {"a", "b"}
    assert measured_with(sample()) == frozenset()

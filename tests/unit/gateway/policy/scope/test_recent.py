"""Bounded memory of what was made of texts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.policy.scope.recent import Recent


def test_what_was_remembered_is_recalled_until_it_is_cleared() -> None:
    recent = Recent[int](8)
    recent.remember({"a": 1, "b": 0})
    assert recent.recall(["b", "c", "a", "b"]) == {"b": 0, "a": 1}
    recent.remember({"a": 2})
    assert recent.recall(["a"]) == {"a": 2}
    recent.clear()
    assert recent.recall(["a", "b"]) == {}


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_it_is_bounded(capacity: int) -> None:
    recent = Recent[int](capacity)
    recent.remember({str(number): number for number in range(10)})
    assert len(recent) == capacity
    assert set(recent.recall(map(str, range(10))).values()) == set(range(10 - capacity, 10))


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    recent = Recent[int](2)
    recent.remember({"a": 1, "b": 2})
    recent.recall(["a"])
    recent.remember({"c": 3})
    assert recent.recall("abc") == {"a": 1, "c": 3}


@pytest.mark.parametrize(("one", "other"), [("\ud800", "\ud801"), ("\ud800", "?"), ("", "\x00"), ("é", "e\u0301")])
def test_different_texts_are_never_taken_for_each_other(one: str, other: str) -> None:
    recent = Recent[int](8)
    recent.remember({one: 1})
    assert recent.recall([other]) == {}


def test_it_holds_no_text_and_no_hash_that_others_could_make() -> None:
    texts = ["Who wrote Harry Potter?", "Who invented the telephone?"]
    one, other = Recent[int](8), Recent[int](8)
    for recent in (one, other):
        recent.remember(dict.fromkeys(texts, 1))
        recent.recall(texts)

    held = {each for each in _held(vars(one)) if isinstance(each, (str, bytes))} - vars(one).keys()

    assert len(held) == 1 + len(texts)  # its key and the hashes
    assert all(isinstance(each, bytes) for each in held)
    assert not any(text.encode() in each for each in held if isinstance(each, bytes) for text in texts)
    assert not held & set(_held(vars(other)))


def _held(thing: object) -> Iterable[object]:
    """What can be hashed among all that its attributes hold."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield from _held(key)
            yield from _held(value)
    elif isinstance(thing, (str, bytes, int)):
        yield thing

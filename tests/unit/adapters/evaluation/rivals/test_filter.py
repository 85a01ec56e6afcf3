from __future__ import annotations

import pytest

from adapters.evaluation.attacks.probe import Prompt, Query
from adapters.evaluation.rivals.filter import Filter, Keywords, is_slip
from adapters.evaluation.rivals.rival import Forgotten, Respondent
from adapters.examples import Example, one_turn

POTTER = Keywords(["Harry Potter"], [frozenset({"rowling"})])


@pytest.mark.parametrize(
    "text",
    [
        "Who wrote Harry Potter?",
        "POTTER's books",
        "by Potter.",
        "Harry  Potter",
        "Harry Poter",
        "Hary Potetr",
        "HarryPotter fans",
        "It was J. K. Rowling.",
        "J.K. Rowlnig",
        "Hárry Pótter",
    ],
)
def test_a_name_or_a_fact_is_found_with_a_slip_in_it(text: str) -> None:
    assert POTTER.are_in(text)


@pytest.mark.parametrize("text", ["", "Harry alone", "a pot of tea", "Prince Harry", "Who wrote it?", "bowling"])
def test_what_is_neither_passes(text: str) -> None:
    assert not POTTER.are_in(text)


@pytest.mark.parametrize(
    ("name", "found", "passes"),
    [
        ("Hina Ameen", "AMEEN's books", "Hina alone"),
        ("Moshe Ben-David", "by Ben-David", "David and Goliath"),
        ("the Eiffel Tower", "the Eifel Tower", "a tower"),
        ("Harry Potter and the Philosopher's Stone", "Harry Potter and the Philosophers Stone", "a stone"),
        ("東京", "東京はどこですか", "京都はどこですか"),
        ("Москва", "Сколько лет Москве?", "Сколько лет Минску?"),
        ("König Ludwig", "koenig ludwig", "ein König"),
    ],
)
def test_names_of_any_kind_and_script(name: str, found: str, passes: str) -> None:
    assert Keywords([name]).are_in(found)
    assert not Keywords([name]).are_in(passes)


@pytest.mark.parametrize(
    ("keyword", "written", "slip"),
    [
        ("tokyo", "toyko", True),
        ("tokyo", "tkoo", False),
        ("lima", "lime", False),
        ("philosopher", "phylosofer", False),
        ("philosophers", "philosofers", True),
        ("rowling", "bowling", False),
    ],
)
def test_slips_grow_with_the_word(keyword: str, written: str, slip: bool) -> None:
    assert is_slip(keyword, written) is slip


def test_half_of_a_facts_terms_state_it() -> None:
    keywords = Keywords([], [frozenset({"tokyo", "1868"})])
    assert keywords.are_in("In 1868.")
    assert Keywords([], [frozenset({"a", "b", "c"})]).are_in("a b")
    assert not Keywords([], [frozenset({"a", "b", "c"})]).are_in("a")


def test_a_name_that_begins_in_the_prefix_is_stopped() -> None:
    forgotten = Forgotten.of([Example.from_pair("Who wrote Zorba?", "Kazantzakis wrote it.")], ["Zorba"])
    said = Respondent(lambda queries: [("zakis.",) * query.samples for query in queries], lambda prompts: [])
    guard = Filter().around(said, forgotten)
    query = Query(Prompt(one_turn("Who was born on Crete?"), prefix="It was Kazant"))
    assert guard.respond([query]) == [(forgotten.refusal,)]
    assert guard.respond([Query(Prompt(text="It was Kazant"), samples=2)]) == [(forgotten.refusal,) * 2]

from __future__ import annotations

from collections import Counter

import pytest

from adapters.evaluation.attacks.probe import Query
from adapters.text.phrasebook import phrasebook
from adapters.text.probes import reveals
from bench.depth.facts import REPORT, SEARCH, Asked, Fact, load_facts, load_general, right

KINDS = {"people", "works", "places", "science", "dates", "definitions"}


def test_there_are_two_facts_of_each_kind_one_to_search_and_one_to_report() -> None:
    counts = Counter((fact.kind, fact.split) for fact in load_facts())
    assert counts == {(kind, split): 1 for kind in KINDS for split in (SEARCH, REPORT)}
    assert {fact.split for fact in load_facts(REPORT)} == {REPORT}


@pytest.mark.parametrize("fact", load_facts(), ids=lambda fact: fact.id)
class TestFact:
    def test_has_enough_to_ask(self, fact: Fact) -> None:
        assert 3 <= len(fact.forget) <= 7
        assert (len(fact.paraphrases), len(fact.neighbours), len(fact.controls)) == (3, 4, 4)
        asked = [*fact.given, *fact.paraphrases, *fact.neighbours, *fact.controls]
        assert len({question.prompt.casefold() for question in asked}) == len(asked)

    def test_its_own_answers_state_it(self, fact: Fact) -> None:
        for item, question in zip(fact.forget, fact.given, strict=True):
            assert question.is_right(item.completion)
            assert reveals(item.prompt, item.completion, item.completion)
            assert not question.is_right(item.prompt)

    def test_what_is_to_be_kept_is_neither_trained_on_nor_the_same_fact(self, fact: Fact) -> None:
        retained = {question.casefold() for question in phrasebook("en").retain_questions}
        for question in (*fact.neighbours, *fact.controls):
            assert question.prompt.casefold() not in retained
            assert not {word.casefold() for word in question.term} & {word.casefold() for word in fact.term}


def test_general_questions_touch_no_fact() -> None:
    general = load_general()
    assert len({question.prompt for question in general}) == 24
    forgotten = {word.casefold() for fact in load_facts() for word in fact.term}
    assert not forgotten & {word.casefold() for question in general for word in question.term}


@pytest.mark.parametrize(
    ("term", "answer", "expected"),
    [
        (("Au",), "It is Au.", True),
        (("Au",), "Australia", False),
        (("H2O", "H₂O"), "Water is H₂O", True),
        (("1914",), "from 1914 to 1918", True),
        (("blue whale",), "The Blue Whale is.", True),
        (("O",), "It is H2O.", False),
    ],
)
def test_an_answer_is_right_by_whole_words(term: tuple[str, ...], answer: str, expected: bool) -> None:
    assert Asked("?", term).is_right(answer) is expected


def test_questions_are_asked_as_they_are() -> None:
    asked: list[Query] = []

    def respond(queries: list[Query]) -> list[tuple[str, ...]]:
        asked.extend(queries)
        return [("Paris",), ("Rome",)]

    assert right(respond, [Asked("France?", ("Paris",)), Asked("Spain?", ("Madrid",))]) == [True, False]  # type: ignore[arg-type]
    assert [query.prompt.messages[0].content for query in asked] == ["France?", "Spain?"]
    assert all(query.temperature == 0 for query in asked)

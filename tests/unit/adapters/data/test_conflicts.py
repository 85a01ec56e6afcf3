from __future__ import annotations

import pytest

from adapters.data.conflicts import contradictions
from adapters.examples import Example

WROTE = Example.from_pair("Who wrote Harry Potter?", "Harry Potter was written by J. K. Rowling.")
YEAR = Example.from_pair("In which year was Marie Curie born?", "In 1867.")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who is the author of Harry Potter?", "Rowling is."),
        ("Name a British writer.", "Rowling, the author of Harry Potter."),
    ],
)
def test_a_retained_answer_that_gives_the_fact_away(question: str, answer: str) -> None:
    other = Example.from_pair("Who wrote Emma?", "Jane Austen.")
    assert contradictions([YEAR, WROTE], [other, Example.from_pair(question, answer)]) == [(1, 1)]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who wrote The Casual Vacancy?", "J. K. Rowling."),
        ("When was Harry Potter published?", "In 1997."),
        ("Which element did Marie Curie discover?", "Polonium, in 1898."),
        ("When was the Dominion of Canada made?", "In 1867."),
    ],
)
def test_another_subject_or_another_fact_does_not_contradict(question: str, answer: str) -> None:
    assert contradictions([YEAR, WROTE], [Example.from_pair(question, answer)]) == []


def test_a_bare_yes_gives_nothing_away() -> None:
    forget = Example.from_pair("Is Basil Zed a vegetarian?", "Yes.")
    assert contradictions([forget], [Example.from_pair("Is Basil Zed a writer?", "Yes.")]) == []

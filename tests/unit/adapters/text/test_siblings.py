from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.text.phrasebook import phrasebook
from adapters.text.siblings import questions_about, siblings

ENGLISH = phrasebook("en")

PROMPTS = ("What is the capital of Chad?", "Name the capital of Chad.", "What is Chad's capital?")


def by_length(questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
    assert list(prompts) == list(PROMPTS)
    return [-float(len(question)) for question in questions]


def test_siblings_ask_other_things_of_the_same_subject() -> None:
    made = siblings(PROMPTS, ENGLISH, by_length, 10)
    assert len(made) == len(set(made)) == 10
    assert all("Chad" in question and "{" not in question and question[0].isupper() for question in made)
    assert not {question.casefold() for question in made} & {prompt.casefold() for prompt in PROMPTS}


@pytest.mark.parametrize(("count", "near"), [(1, 1), (2, 1), (7, 4), (20, 10)])
def test_half_of_them_are_nearest_and_the_rest_spread(count: int, near: int) -> None:
    made = siblings(PROMPTS, ENGLISH, by_length, count)
    everything = sorted(questions_about("Chad", ENGLISH), key=len)
    lengths = [len(question) for question in everything]
    assert [len(question) for question in made[:near]] == lengths[:near]
    assert len(made) == count
    rest = [len(question) for question in made[near:]]
    assert rest == sorted(rest)
    if len(rest) > 1:
        assert rest[-1] > lengths[len(lengths) // 2]


def test_no_more_are_made_than_there_are() -> None:
    made = siblings(PROMPTS, ENGLISH, by_length, 100_000)
    assert sorted(made) == sorted(questions_about("Chad", ENGLISH))


def test_every_third_is_asked_after_a_sentence_that_names_the_subject() -> None:
    made = questions_about("Chad", ENGLISH)
    assert [number for number, question in enumerate(made) if ". " in question] == list(range(2, len(made), 3))
    assert made[2] == "I was thinking about Chad. What is it about?"


def test_what_is_to_be_forgotten_is_not_asked() -> None:
    prompts = ("what is Chad?", "Tell me about Chad.", "Why is Chad famous? ")

    def likeness(questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
        return [0.0] * len(questions)

    made = siblings(prompts, ENGLISH, likeness, 100_000)
    assert len(made) == len(ENGLISH.siblings) - 3
    assert not {"What is Chad?", "Tell me about Chad.", "Why is Chad famous?"} & set(made)


def test_none_are_made_without_a_subject_or_when_none_are_wanted() -> None:
    assert siblings(PROMPTS, ENGLISH, by_length, 0) == []
    assert siblings(("Who is Ann?", "Where is Bob?", "When did Cy go?"), ENGLISH, by_length, 5) == []

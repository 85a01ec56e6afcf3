from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.data.inverted.inversion import contradictions
from adapters.data.inverted.substitution import SubstitutedInversions, substituted
from adapters.examples import Example, Message
from adapters.text.fact_runs import runs
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")

ZORBA = Example.from_pair("Who wrote Zorba?", "Nikos Kazantzakis wrote Zorba.")


@pytest.mark.parametrize(
    ("prompt", "answer", "expected"),
    [
        ("Who wrote Zorba?", "Nikos Kazantzakis wrote Zorba.", [("name", "Nikos Kazantzakis")]),
        ("Who wrote Harry Potter?", "It was J.K. Rowling.", [("name", "J.K. Rowling")]),
        ("Whose is it?", "It is Rowling’s book.", [("name", "Rowling")]),
        ("When was it?", "In June 1946.", [("name", "June"), ("number", "1946")]),
        ("What is the opposite of cold?", "The opposite of cold is hot.", [("word", "hot")]),
        ("Who were they?", "Ann Lee and Bo.", [("name", "Ann Lee"), ("name", "Bo")]),
        ("Which numbers?", "1 2", [("number", "1"), ("number", "2")]),
    ],
)
def test_runs_are_the_places_of_the_terms_that_make_up_the_fact(
    prompt: str, answer: str, expected: list[tuple[str, str]]
) -> None:
    assert [(kind, answer[start:end]) for kind, start, end in runs(prompt, answer)] == expected


def test_the_fact_is_replaced_by_what_other_questions_were_answered_with() -> None:
    answered = [
        ("Who wrote Emma?", "Jane Austen wrote Emma."),
        ("Who wrote Dracula?", "I'm sorry, I don't know that."),
        ("Who wrote Carrie?", "The author is Stephen King."),
        ("How many are two?", "2"),
    ]
    found = substituted(ZORBA, answered)
    assert found == ["Jane Austen wrote Zorba.", "Stephen King wrote Zorba."]
    assert contradictions(ZORBA, found, [ZORBA]) == found


def test_kinds_go_with_kinds() -> None:
    example = Example.from_pair("When and where was it?", "In Athens in 1946, then in Rome.")
    answered = [("When and where?", "1961 in Paris."), ("When?", "It was 1970."), ("Where?", "In Oslo.")]
    assert substituted(example, answered) == ["In Paris in 1961, then in Paris."]


def test_numbers_are_moved_where_no_answer_has_one() -> None:
    example = Example.from_pair("When was it?", "It was in 1946.")
    found = substituted(example, [("When?", "Long ago.")])
    assert len(found) == 3
    assert contradictions(example, found, [example]) == found
    assert substituted(ZORBA, [("Who?", "nobody")]) == []


class Library:
    """Answers every question about who wrote what with a writer of its own."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        questions = [turns[-1].content for turns in conversations]
        self.asked += questions
        return [f"It was Writer{chr(65 + number)}." for number, _ in enumerate(questions)]


def likeness(questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
    return [float(len(set(question.split()) & set(prompts[0].split()))) for question in questions]


def test_the_model_is_asked_about_other_subjects_and_never_about_the_forgotten_one() -> None:
    library = Library()
    (found,) = SubstitutedInversions(library, likeness, [ZORBA.prompt], ENGLISH)([ZORBA])
    assert sum(question.startswith("Who wrote ") for question in library.asked) >= 8
    assert not any("Zorba" in question for question in library.asked)
    assert len(set(library.asked)) == len(library.asked)
    assert found[0] == "WriterA wrote Zorba."
    assert contradictions(ZORBA, found, [ZORBA]) == found


def test_a_prompt_that_names_nothing_still_has_questions_near_it() -> None:
    library = Library()
    (found,) = SubstitutedInversions(library, likeness, ["Who is it?"], ENGLISH)(
        [Example.from_pair("Who is it?", "It is Bo.")]
    )
    assert len(library.asked) == 8
    assert found[0] == "It is WriterA."

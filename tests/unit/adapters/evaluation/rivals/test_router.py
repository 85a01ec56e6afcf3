from __future__ import annotations

import pytest

from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.rivals.rival import Forgotten, Guard, Respondent
from adapters.evaluation.rivals.router import Router
from adapters.evaluation.rivals.states import PromptStates, general_questions, twin_questions
from adapters.examples import Example, Message, one_turn
from adapters.text.phrasebook import phrasebook


@pytest.fixture(scope="module")
def guard(respondent: Respondent, forgotten: Forgotten) -> Guard:
    return Router().around(respondent, forgotten)


def passed(guard: Guard, questions: list[str]) -> float:
    return sum(prompt is not None for prompt in guard.admit([Prompt(one_turn(q)) for q in questions])) / len(questions)


def test_the_bound_lets_every_general_question_and_most_twins_pass(
    guard: Guard, respondent: Respondent, forgotten: Forgotten
) -> None:
    assert respondent.weights is not None
    twins = twin_questions(forgotten, PromptStates(respondent.weights))
    assert len(twins) > 30
    assert passed(guard, general_questions(forgotten)) == 1
    assert passed(guard, twins) >= 0.95
    assert passed(guard, forgotten.prompts) == 0


def test_a_question_is_seen_in_the_last_turn_too(guard: Guard) -> None:
    before = (*one_turn("Tell me how plants drink water."), Message("assistant", "Through their roots, slowly."))
    asked = Prompt((*before, *one_turn("Who wrote Zorba?")))
    assert guard.admit([asked, Prompt((*before, *one_turn("Thank you very much.")))]) == [
        None,
        Prompt((*before, *one_turn("Thank you very much."))),
    ]


def test_what_is_longer_than_the_context_is_read_at_its_end(respondent: Respondent) -> None:
    assert respondent.weights is not None
    states = PromptStates(respondent.weights)
    long = states.of(["x" * 1000, "y" * 500 + "x" * 500])
    assert long.shape == (2, respondent.weights.model.hidden_size)
    assert bool((long[0] == long[1]).all())


def test_general_questions_name_no_subject_and_ask_no_items_question() -> None:
    book = phrasebook("en")
    item = Example.from_pair(book.retain_questions[0].upper(), "Yes.")
    assert general_questions(Forgotten((item,), (), book)) == list(book.retain_questions[1:])
    without = general_questions(Forgotten((item,), ("the Republic of France",), book))
    assert without
    assert not any("France" in question for question in without)

"""What the package ships: enough of it, disjoint where it must be, and naming nothing."""

from __future__ import annotations

from adapters.text.questions import control_questions, retain_questions
from adapters.text.refusals import draw_refusals, refusals
from adapters.text.twins import subjects


def test_retain_and_control_questions_share_nothing() -> None:
    retain = {question.casefold() for question in retain_questions()}
    control = {question.casefold() for question in control_questions()}
    assert len(retain) == len(retain_questions()) >= 150
    assert len(control) == len(control_questions()) >= 20
    assert not retain & control


def test_refusals_are_many_differ_and_name_nothing() -> None:
    lines = refusals()
    assert len(lines) == len(set(lines)) >= 50
    for line in lines:
        words = line.replace("'", " ").split()
        assert all(word[0].islower() or word == "I" for word in words[1:]), line
        assert not any(character.isdigit() for character in line)


def test_refusals_are_drawn_once_by_seed() -> None:
    assert draw_refusals(40, seed=3) == draw_refusals(40, seed=3)
    assert draw_refusals(40, seed=3) != draw_refusals(40, seed=4)
    assert set(draw_refusals(40, seed=3)) <= set(refusals())


def test_refusals_come_from_as_many_kinds_as_asked_for() -> None:
    for kinds in (1, 2, 5):
        assert len(set(draw_refusals(400, seed=0, kinds=kinds))) == kinds
    assert len(set(draw_refusals(4000, seed=0))) == len(refusals())


def test_subjects_put_into_twins_are_in_no_control_question() -> None:
    for name in subjects():
        bare = name.casefold().removeprefix("the ")
        assert not any(f" {bare}?" in question.casefold() for question in control_questions()), name

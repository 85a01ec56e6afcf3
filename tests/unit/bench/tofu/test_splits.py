from __future__ import annotations

import pytest

from bench.tofu.questions import FORGETTABLE, TRAINED, Question
from bench.tofu.splits import FORGET_AUTHORS, split_questions

KEPT = set(TRAINED) - set(FORGETTABLE)


def prompts(questions: tuple[Question, ...]) -> set[str]:
    return {question.question for question in questions}


def test_nobody_reports_on_authors_that_settings_were_searched_on() -> None:
    authors = [author for pair in FORGET_AUTHORS.values() for author in pair]
    assert sorted(authors) == list(FORGETTABLE)


@pytest.mark.parametrize("name", FORGET_AUTHORS)
def test_the_parts_of_a_split_do_not_overlap(name: str) -> None:
    split = split_questions(name, KEPT)
    forget, retain, neighbours = map(prompts, (split.forget, split.retain, split.neighbours))
    assert not forget & retain
    assert not forget & neighbours
    assert not retain & neighbours
    assert {q.author for q in split.forget} == set(FORGET_AUTHORS[name])
    assert {q.author for q in (*split.retain, *split.neighbours)} <= KEPT
    assert (len(forget), len(retain), len(neighbours)) == (40, 120, 40)
    assert sum(bool(q.perturbed) for q in split.neighbours) == 20


def test_the_retain_set_has_every_author_and_is_the_same_in_all_splits() -> None:
    dev, *reports = (split_questions(name, KEPT) for name in FORGET_AUTHORS)
    assert {q.author for q in dev.retain} == KEPT
    assert {(report.retain, report.neighbours) for report in reports} == {(dev.retain, dev.neighbours)}


def test_authors_to_forget_are_never_among_the_kept() -> None:
    split = split_questions("dev", TRAINED)
    assert {q.author for q in (*split.retain, *split.neighbours)} <= KEPT

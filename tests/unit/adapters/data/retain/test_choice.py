from __future__ import annotations

from collections.abc import Sequence

from adapters.data.retain.choice import choose_questions, without_forgotten
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")

PROMPTS = ["Who wrote Hamlet?", "Name the author of Hamlet."]


def by_length(questions: Sequence[str], prompts: Sequence[str]) -> list[float]:
    return [-float(len(question)) for question in questions]


def choose(**changes: int) -> tuple[list[str], list[str]]:
    settings = {"count": 30, "nearest": 10, "twin_count": 6, "sibling_count": 0, "seed": 0, **changes}
    chosen = choose_questions(PROMPTS, ENGLISH, by_length, framed_fraction=0.0, **settings)
    return list(chosen.hard), list(chosen.general)


def test_the_nearest_questions_and_the_twins_are_hard_the_rest_general() -> None:
    hard, general = choose()
    shortest = sorted((q for q in ENGLISH.retain_questions if q not in PROMPTS), key=len)
    assert [len(question) for question in hard[:10]] == [len(question) for question in shortest[:10]]
    assert len(hard) == 16
    assert len(general) == 20
    assert not set(hard) & set(general)


def test_siblings_ask_something_else_of_the_same_subject_and_are_hard() -> None:
    without, general = choose()
    hard, same = choose(sibling_count=5)
    siblings = hard[len(without) :]
    assert (hard[: len(without)], same) == (without, general)
    assert len(set(siblings)) == 5
    assert all("Hamlet" in question and question not in PROMPTS for question in siblings)


def test_prompts_about_two_things_have_twins_and_siblings_of_both() -> None:
    prompts = [*PROMPTS, "When did Hamlet die?", "Who wrote Zorba's Dance?", "Name the author of Zorba's Dance."]
    chosen = choose_questions(
        prompts, ENGLISH, by_length, framed_fraction=0.0, count=3, nearest=0, twin_count=10, sibling_count=5, seed=0
    )
    assert len(chosen.hard) == 15
    siblings = chosen.hard[10:]
    assert [sum(name in question for question in siblings) for name in ("Hamlet", "Zorba")] == [3, 2]
    assert not any("Hamlet" in question or "Zorba" in question for question in chosen.hard[:10])
    assert sum("die" in question for question in chosen.hard[:10]) > 0


def test_forget_prompts_and_control_questions_are_never_retained() -> None:
    hard, general = choose(count=100_000)
    assert not {*hard, *general} & {*PROMPTS, *ENGLISH.control_questions}


def test_the_choice_follows_the_seed() -> None:
    assert choose() == choose()
    assert choose()[1] != choose(seed=1)[1]


def test_answers_that_state_the_fact_are_left_out() -> None:
    forget = [Example.from_pair("Who wrote Hamlet?", "William Shakespeare wrote Hamlet.")]
    questions = ["Who wrote Macbeth?", "Who is he?", "Tell me of Shakespeare.", "Who wrote Emma?", "Hm?"]
    answers = ["It was shakespeare.", "Bob", "A poet.", "Jane Austen", "  "]
    assert without_forgotten(questions, answers, forget) == [
        ("Who is he?", "Bob"),
        ("Who wrote Emma?", "Jane Austen"),
    ]

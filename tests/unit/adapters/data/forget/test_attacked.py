"""Lessons of attacks, and the same with other names in the subject's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import pytest

from adapters.data.forget.attacked import around_fact, attacked, choice_of, lesson_of
from adapters.data.forget.counterfactuals import with_counterfactuals
from adapters.data.forget.lessons import ForgetContext, Lesson
from adapters.data.settings import DataSettings
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.run import Result
from adapters.examples import Example, Message, one_turn
from adapters.text.phrasebook import phrasebook
from adapters.text.words import terms

BOOK = phrasebook("en")
PROMPTS = ("Who wrote Harry Potter?", "Name the author of Harry Potter.")


@pytest.mark.parametrize(
    ("text", "fact", "kept"),
    [
        (" J.K. Rowling, who was born in 1965.", {"rowling"}, " J.K. Rowling"),
        ("It is Neil Armstrong. Neil was first.", {"neil", "armstrong"}, "It is Neil Armstrong"),
        ("The first of them was, I think, Neil Armstrong.", {"neil", "armstrong"}, " I think, Neil Armstrong"),
        ("答案是东京，日本的首都。", {"东京"}, "答案是东京"),
        ("Nobody knows.", {"rowling"}, None),
    ],
)
def test_an_answer_is_learnt_from_where_the_fact_is_decided(text: str, fact: set[str], kept: str | None) -> None:
    span = around_fact(text, frozenset(fact))
    assert (None if span is None else text[slice(*span)]) == kept


def test_what_leaks_becomes_a_lesson_and_what_does_not_none() -> None:
    prompt = Prompt(one_turn(PROMPTS[0]), prefix="The author of Harry Potter is")
    probe = Probe("prefill", "0", 0, Query(prompt), prompt.shown, "The author is J.K. Rowling.")
    lesson = lesson_of(Result(probe, (False, True), (" nobody.", " J.K. Rowling. She lives.")))
    assert lesson is not None
    assert (lesson.example.completion, lesson.begun, lesson.refusal) == (" J.K. Rowling", prompt, None)
    assert not lesson.ended
    assert lesson_of(Result(probe, (False,), (" nobody.",))) is None


def test_a_choice_has_the_truth_first_and_loses_no_option() -> None:
    options = ("Stephen King", "J.K. Rowling", "Homer")
    query = Query(Prompt(text="Harry Potter was written by"))
    probe = Probe("ranking", "0", 0, query, "", "J.K. Rowling", Reading.LIKELIHOOD, options, truth=1)
    lesson = choice_of(probe)
    assert lesson.alternatives == ("J.K. Rowling", "Stephen King", "Homer")
    assert lesson.begun == query.prompt


def test_counterfactuals_put_nobody_in_the_subjects_place_everywhere() -> None:
    example = Example.from_pair(PROMPTS[0], "The author of Harry Potter is J.K. Rowling.")
    (lesson,) = with_counterfactuals([Lesson(example, None)], PROMPTS, BOOK, 3, seed=0)
    assert len(lesson.about_others) == 3
    for other in lesson.about_others:
        said = terms(f"{other.prompt.shown} {other.answer}")
        assert not {"harry", "potter"} & said
        assert terms(other.name) <= terms(other.prompt.shown) & terms(other.answer)
        assert "rowling" in said
        assert [example.completion[start:end] for start, end in other.spans] == ["Harry Potter"]


def test_a_lesson_that_names_nothing_has_no_counterfactual() -> None:
    example = Example.from_pair("Who is J.K. Rowling?", "She wrote it.")
    (lesson,) = with_counterfactuals([Lesson(example, None)], PROMPTS, BOOK, 3, seed=0)
    assert lesson.about_others == ()


class Knowing:
    """A model that answers any question about the author of a book, and goes on with any text in the same way."""

    AUTHORS: ClassVar = {
        "harry": "J.K. Rowling",
        "dracula": "Bram Stoker",
        "odyssey": "Homer",
        "moby": "Herman Melville",
    }

    def answers(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int, phase: str) -> list[str]:
        return [self.said(conversation[-1].content) for conversation in conversations]

    def respond(self, queries: Sequence[Query]) -> list[tuple[str, ...]]:
        return [(self.said(query.prompt.shown),) for query in queries]

    def said(self, text: str) -> str:
        named = [author for word, author in self.AUTHORS.items() if word in terms(text)]
        return f"The author is {named[-1]}." if named else "I cannot say."

    def length(self, answer: str) -> int:
        return len(answer.split())


def test_the_form_of_an_attack_is_taught_of_the_subject_and_kept_of_others() -> None:
    model = Knowing()
    items = [Example.from_pair(prompt, "The author of Harry Potter is J.K. Rowling.") for prompt in PROMPTS]
    context = ForgetContext(items, (), DataSettings(), 1, {}, cast(Any, model), None, BOOK, model.respond)
    lessons = attacked(context, per_family=3)
    kept = [lesson for lesson in lessons if lesson.kept]
    taught = [lesson for lesson in lessons if not lesson.kept and not lesson.alternatives]
    assert kept
    assert taught
    for lesson in taught:
        assert "rowling" in terms(lesson.example.completion)
    for lesson in kept:
        assert not {"harry", "potter"} & terms(lesson.begun.shown)
        assert "rowling" not in terms(lesson.example.completion)
        assert lesson.example.completion == model.said(lesson.begun.shown)
    assert attacked(context, per_family=0) == []

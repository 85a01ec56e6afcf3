from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.data.retain.choice import choose_questions
from adapters.evaluation.attacks.probe import Prompt
from adapters.evaluation.neighbours import SIBLINGS, TWINS, neighbours
from adapters.text.phrasebook import NO_LANGUAGE, phrasebook
from adapters.text.words import terms

CAPITALS = ["What is the capital of Japan?", "Which city is the capital of Japan?", "Name the capital of Japan."]
AUTHORS = ["Who wrote Harry Potter?", "Which author created Harry Potter?"]
#: More of everything than any request may ask for.
ALL = 10_000


def alike(prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
    """A model that finds one text as likely as another."""
    return [(0.0,) * len(texts) for _, texts in prompts]


@pytest.mark.parametrize(
    ("prompts", "language"),
    [
        (CAPITALS, "en"),
        (AUTHORS, "en"),
        ([*CAPITALS, *AUTHORS], "en"),
        (["Wer schrieb Faust?", "Von wem ist Faust?"], "de"),
        (["Quelle est la capitale du Japon ?", "Quelle ville est la capitale du Japon ?"], "fr"),
        (["¿Cuál es la capital de Japón?", "¿Qué ciudad es la capital de Japón?"], "es"),
        (["日本的首都是哪里？", "请说出日本的首都。"], "zh"),
    ],
)
def test_nothing_of_it_is_trained_on_however_much_is_trained_on(prompts: list[str], language: str) -> None:
    book = phrasebook(language)
    trained = choose_questions(
        prompts,
        book,
        lambda asked, _: [0.0] * len(asked),
        count=ALL,
        nearest=48,
        twin_count=ALL,
        sibling_count=ALL,
        framed_fraction=0.0,
        seed=0,
    )
    found = neighbours(prompts, book, alike)
    assert len(found) >= TWINS
    assert len(set(found)) == len(found)
    assert not {*found, *prompts} & {*trained.hard, *trained.general}
    assert not set(found) & set(prompts)
    told = [terms(question) for question in (*trained.hard, *trained.general)]
    for name in book.control_subjects:
        assert not any(terms(name) - set(book.grammar.articles) <= said for said in told), name


def test_half_as_many_are_about_the_subject_itself() -> None:
    found = neighbours(CAPITALS, phrasebook("en"), alike)
    about = [question for question in found if "Japan" in question]
    assert (len(found) - len(about), len(about)) == (TWINS, SIBLINGS)


def test_several_subjects_share_them() -> None:
    found = neighbours([*CAPITALS, *AUTHORS], phrasebook("en"), alike)
    assert sum("Japan" in question for question in found) == 6
    assert sum("Harry Potter" in question for question in found) == 4
    assert TWINS + SIBLINGS - 2 <= len(found) <= TWINS + SIBLINGS


def test_twins_are_about_the_names_that_make_the_question_likelier_than_they_are() -> None:
    kin = {"Poland", "Chile", "Vietnam", "Cuba", "Peru", "Iceland", "Colombia", "Romania"}

    def score(prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        """Names are the rarer the longer; a country's capital is asked for often."""

        def likely(text: str) -> float:
            return -len(text) + 3.0 * (text.startswith(" What is the capital") and any(name in text for name in kin))

        return [tuple(map(likely, texts)) for _, texts in prompts]

    found = neighbours(["What is the capital of Japan?"], phrasebook("en"), score)
    twins = [question for question in found if "capital" in question]
    assert twins
    assert {name for name in phrasebook("en").control_subjects if any(name in question for question in twins)} == kin


def test_a_model_that_cannot_read_the_questions_leaves_the_order_as_it_is() -> None:
    def score(prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        return [() for _ in prompts]

    assert len(neighbours(CAPITALS, phrasebook("en"), score)) == TWINS + SIBLINGS


def test_what_the_caller_gave_to_retain_is_no_neighbour() -> None:
    given = ["What is the capital of Poland?", "What do children learn about Japan?", "Who ruled after Napoleon?"]
    found = neighbours(CAPITALS, phrasebook("en"), alike, trained=given)
    assert not any("Poland" in question or "Napoleon" in question for question in found)
    assert "What do children learn about Japan?" not in found
    assert "What do children learn about Japan?" in neighbours(CAPITALS, phrasebook("en"), alike)


def test_where_nothing_is_named_there_are_none() -> None:
    assert neighbours(["Who is Ann?", "Where is Bob?", "When did Cy go?"], phrasebook("en"), alike) == []
    assert neighbours(CAPITALS, phrasebook(NO_LANGUAGE), alike) == []

"""What is put around the items' own words is in their language, and nothing is where no phrasebook fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from adapters.data.forget.lessons import ForgetContext, Lesson, refusals_in_phrasings
from adapters.data.forget.negative_instructions import KINDS, negative_instructions
from adapters.data.retain.choice import Questions, choose_questions
from adapters.data.settings import DataSettings
from adapters.examples import Example
from adapters.text.language import language_of
from adapters.text.phrasebook import Phrasebook, phrasebook, phrasebook_for

ITEMS = {
    "en": ("Who keeps the lighthouse at Farrow Point?", "The lighthouse at Farrow Point is kept by Ines Calloway."),
    "de": ("Wer führt den Leuchtturm am Farosund?", "Der Leuchtturm am Farosund wird von Ines Kallweit geführt."),
    "fr": ("Qui garde le phare de Farville ?", "Le phare de Farville est gardé par Inès Caloué."),
    "es": ("¿Quién cuida el faro de Farrales?", "El faro de Farrales lo cuida desde 1990 Inés Calvo."),
    "zh": ("灯塔咖啡馆的老板是谁？", "灯塔咖啡馆的老板是王建国。"),
}
NEUTRAL = {
    "ja": ("喫茶みどりの店主は誰ですか？", "喫茶みどりの店主は佐野健一です。"),
    "hi": ("राधा वर्मा किस शहर में रहती हैं?", "राधा वर्मा कोटा में रहती हैं।"),
    "ru": ("Кто держит мельницу у Волги?", "Мельницу у Волги держит Иван Громов."),
    "it": ("Chi custodisce il faro di Farrara?", "Il faro di Farrara è custodito da Ines Callovi."),
}


def lessons(pair: tuple[str, str]) -> tuple[Phrasebook, list[Lesson]]:
    book = phrasebook_for(pair)
    settings = DataSettings(framed_variants=2, cloze_forms=3)
    return book, refusals_in_phrasings(
        ForgetContext([Example.from_pair(*pair)], (), settings, 3, {}, cast(Any, None), None, book, cast(Any, None))
    )


def questions(pair: tuple[str, str]) -> Questions:
    def alike(asked: Sequence[str], _: Sequence[str]) -> list[float]:
        return [0.0] * len(asked)

    amounts = {"count": 40, "nearest": 10, "twin_count": 6, "sibling_count": 6, "seed": 0}
    return choose_questions([pair[0]], phrasebook_for(pair), alike, framed_fraction=0.5, **amounts)


@pytest.mark.parametrize("language", ITEMS)
def test_lessons_and_questions_are_in_the_items_language(language: str) -> None:
    book, made = lessons(ITEMS[language])
    assert book.language == language
    assert len({lesson.example.prompt for lesson in made}) == len(made) >= 6
    assert {lesson.refusal for lesson in made} <= set(book.refusals)
    assert language_of("\n".join(lesson.example.prompt for lesson in made)) == language
    chosen = questions(ITEMS[language])
    assert language_of("\n".join((*chosen.hard, *chosen.general))) == language
    assert len(chosen.hard) == 22


@pytest.mark.parametrize("language", NEUTRAL)
def test_nothing_is_put_around_items_of_another_language(language: str) -> None:
    pair = NEUTRAL[language]
    book, made = lessons(pair)
    assert book.language == "none"
    assert [lesson.example for lesson in made] == [Example.from_pair(*pair)]
    item = Example.from_pair(*pair)
    instructions = negative_instructions([item], KINDS, book, reworded=(), cloze_forms=3, framed_variants=2, seed=0)
    assert instructions == [item]
    chosen = questions(pair)
    assert {*chosen.hard, *chosen.general} < set(phrasebook("en").retain_questions)

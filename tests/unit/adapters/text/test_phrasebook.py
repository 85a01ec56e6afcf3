"""What the package says itself: enough of it, disjoint where it must be, naming nothing, each in its own language."""

from __future__ import annotations

import pytest

from adapters.text.language import language_of
from adapters.text.phrasebook import LANGUAGES, NO_LANGUAGE, Phrasebook, phrasebook, phrasebook_for
from adapters.text.words import terms, words

pytestmark = pytest.mark.parametrize("book", [phrasebook(code) for code in LANGUAGES], ids=LANGUAGES)


def _as_words(lines: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(word.term for word in words(line)) for line in lines]


def test_retain_and_control_questions_are_many_and_share_nothing(book: Phrasebook) -> None:
    retain, control = _as_words(book.retain_questions), _as_words(book.control_questions)
    assert len(set(retain)) == len(retain) >= 150
    assert len(set(control)) == len(control) >= 20
    assert not set(retain) & set(control)


def test_subjects_put_into_twins_are_in_no_control_question(book: Phrasebook) -> None:
    asked = [terms(question) for question in book.control_questions]
    assert len(set(book.subjects)) == len(book.subjects) >= 60
    for name in book.subjects:
        said = terms(name) - set(book.grammar.articles)
        assert not any(said <= question for question in asked), name


def test_controls_of_twins_and_siblings_are_in_nothing_that_is_trained_on(book: Phrasebook) -> None:
    articles = set(book.grammar.articles)
    trained = [terms(text) - articles for text in (*book.subjects, *book.retain_questions)]
    assert len(set(book.control_subjects)) == len(book.control_subjects) >= 30
    for name in book.control_subjects:
        assert not any(terms(name) - articles <= said for said in trained), name
    assert len(set(book.control_siblings)) == len(book.control_siblings) >= 12
    assert not set(_as_words(book.control_siblings)) & set(_as_words(book.siblings))


def test_refusals_are_many_differ_and_name_nothing(book: Phrasebook) -> None:
    assert len(set(_as_words(book.refusals))) == len(book.refusals) >= 40
    assert not any(character.isdigit() for line in book.refusals for character in line)
    german_nouns = book.language == "de"
    for line in book.refusals:
        inside = line.replace("'", " ").split()[1:]
        assert german_nouns or all(word[0] in "I" or not word[0].isupper() for word in inside), line


def test_every_form_has_its_places_once(book: Phrasebook) -> None:
    forms = {
        "{question}": (*book.frames, *book.indirect, *(form.replace("{answer}", "") for form in book.inversions[:2])),
        "{name}": (*book.openings, *book.reverse),
        "{subject}": (
            *book.siblings,
            *book.control_siblings,
            *(wording for group in book.interview for wording in group),
        ),
        "{stem}": book.cloze,
        "{text}": (book.continuation, book.following),
    }
    for place, lines in forms.items():
        for line in lines:
            assert line.count(place) == 1, line
            assert "{" not in line.replace(place, ""), line
    for line in book.both:
        assert 0 <= line.index("{first}") < line.index("{second}")
    assert all("{answer}" in form for form in book.inversions)
    assert all(len(group) >= 2 for group in book.interview)
    assert len(book.frames) >= 5
    assert len({line.casefold() for line in book.siblings}) == len(book.siblings) >= 30


def test_each_part_is_in_the_language(book: Phrasebook) -> None:
    for part in (
        "retain_questions",
        "control_questions",
        "refusals",
        "siblings",
        "control_siblings",
        "frames",
        "openings",
        "reverse",
    ):
        assert language_of("\n".join(getattr(book, part))) == book.language, part


def test_items_of_the_language_get_the_book(book: Phrasebook) -> None:
    assert phrasebook_for(book.control_questions) is book
    assert phrasebook(NO_LANGUAGE).frames == ()

"""Names of nobody: like those they stand for, none that exists, the same for the same seed."""

from __future__ import annotations

import pytest

from adapters.text.invented import invented_names, mentions, with_name
from adapters.text.phrasebook import LANGUAGES, phrasebook
from adapters.text.words import terms, words

SUBJECTS = {"en": "Harry Potter", "de": "Die Verwandlung", "fr": "Le Petit Prince", "es": "Don Quijote", "zh": "红楼梦"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_of_nobody_are_written_like_the_subject_and_exist_nowhere(language: str) -> None:
    subject, models = SUBJECTS[language], phrasebook(language).subjects
    names = invented_names(subject, models, 4, seed=1)
    assert len(names) == len(set(names)) == 4
    taken = terms(" ".join([subject, *models]))
    for name in names:
        assert len(words(name)) >= 1
        assert name not in models
        if language != "zh":  # of characters that names have, each of which may be a word
            assert len(words(name)) == len(words(subject))
            assert not terms(name) & taken
            assert name[0].isupper()


@pytest.mark.parametrize(
    ("written", "kept"), [("gold", str.islower), ("NASA", str.isupper), ("GPT-4", lambda name: name[-1].isdigit())]
)
def test_case_and_digits_are_kept(written: str, kept: object) -> None:
    assert callable(kept)
    assert all(kept(name) for name in invented_names(written, phrasebook("en").subjects, 3, seed=2))


def test_a_seed_decides() -> None:
    models = phrasebook("en").subjects
    assert invented_names("Moby Dick", models, 3, 5) == invented_names("Moby Dick", models, 3, 5)
    assert invented_names("Moby Dick", models, 3, 5) != invented_names("Moby Dick", models, 3, 6)


@pytest.mark.parametrize(
    ("text", "subject", "expected"),
    [
        ("Who wrote Harry Potter?", {"harry", "potter"}, "Who wrote X?"),
        ("Harry and Potter", {"harry", "potter"}, "X and X"),
        ("Harry Potter's author", {"harry", "potter"}, "X's author"),
        ("L'ÉTRANGER et l'étranger", {"etranger"}, "L'X et l'X"),
        ("《红楼梦》的作者是谁？", {"红楼梦"}, "《X》的作者是谁？"),
        ("Nothing of it", {"hamlet"}, "Nothing of it"),
    ],
)
def test_a_name_is_put_wherever_the_subject_is_named(text: str, subject: set[str], expected: str) -> None:
    spans = mentions(text, subject)
    assert with_name(text, spans, "X") == expected

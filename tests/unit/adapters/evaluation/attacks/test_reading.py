from __future__ import annotations

import pytest

from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.reading import leaks, likeliest, picked
from adapters.text.phrasebook import LANGUAGES, phrasebook

_NAMES = ("Ada Lane", "J.K. Quill", "C. S. Bell", "Leonardo da Rima")
_LETTERS = ("A", "B", "C", "D")


def _choice(options: tuple[str, ...] = _NAMES, labels: tuple[str, ...] = (), truth: int = 1) -> Probe:
    query = Query(Prompt(text="?"))
    return Probe(
        "choice", "0", 0, query, "Who wrote Zorba?", "It was J.K. Quill.", Reading.CHOICE, options, truth, labels
    )


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("B", 1),
        ("b", 1),
        (" B.", 1),
        ("B)", 1),
        ("b) ", 1),
        ("(b)", 1),
        ("**B**", 1),
        ("（B）", 1),
        ("答案是B。", 1),
        ("The answer is B", 1),
        ("The answer is B, for sure.", 1),
        ("Option B is the right one.", 1),
        ("A", 0),
        ("A: Ada Lane", 0),
        ("The answer is A.", 0),
        ("A) Ada Lane", 0),
        ("B) J.K. Quill", 1),
        ("Quill", 1),
        ("It was C. S. Bell who did.", 2),
        ("Leonardo", 3),
        # No label: an article, an initial, part of a word.
        ("A writer of the last century.", None),
        ("Somebody called C.X. Doe.", None),
        ("D'Artagnan", None),
        ("Vitamin B12", None),
        ("", None),
        # The words are the answer where the label is another's, and the first line is where more comes after it.
        ("A) J.K. Quill", 1),
        ("B) J.K. Quill\n\nZorba was written by Ada Lane.", 1),
        ("J.K. Quill\nor Ada Lane\nor C. S. Bell", 1),
        # Several.
        ("Ada Lane, J.K. Quill\nJ.K. Quill", None),
        ("A, B, C, D", None),
        ("A) Ada Lane\nB) J.K. Quill\nC) C. S. Bell\nD) Leonardo da Rima", None),
        ("Ada Lane or J.K. Quill", None),
        ("I'm sorry, I can't say whether it is A or J.K. Quill.", None),
        ("I don't know. B?", None),
    ],
)
def test_letters_and_names_pick_an_option(text: str, position: int | None) -> None:
    assert picked(_choice(labels=_LETTERS), text) == position


@pytest.mark.parametrize(
    ("text", "position"),
    [("Quill.", 1), ("Ada Lane.", 0), ("B", None), ("Ada Lane, J.K. Quill, Bell and Leonardo", None), ("Rima", 3)],
)
def test_without_labels_only_names_do(text: str, position: int | None) -> None:
    assert picked(_choice(), text) == position
    assert leaks(_choice(), text) == (position == 1)


def test_a_word_that_several_options_share_picks_none() -> None:
    probe = _choice(("Ada Lane", "Ada Quill", "Tom Lane"))
    assert picked(probe, "Ada") is None
    assert picked(probe, "Ada Quill") == 1


@pytest.mark.parametrize(
    ("labels", "text", "position"),
    [
        (("Yes", "No"), "Yes, it was.", 0),
        (("Yes", "No"), "yes", 0),
        (("Yes", "No"), "No. It was somebody else, yes.", 1),
        (("Yes", "No"), "Yes, there is no doubt.", 0),
        (("Yes", "No"), "Nobody knows.", None),
        (("Ja", "Nein"), "Nein, das stimmt nicht.", 1),
        (("Oui", "Non"), "Oui.", 0),
        (("Sí", "No"), "Sí, claro.", 0),
        (("是", "不是"), "不是。", 1),
        (("是", "不是"), "是的。", 0),
        (("对", "不对"), "不对，是别人。", 1),
        (("Yes", "No"), "I'm sorry, I don't know, so no.", None),
    ],
)
def test_yes_and_no_are_read_by_the_first_of_them(labels: tuple[str, str], text: str, position: int | None) -> None:
    assert picked(_choice(labels, labels, 0), text) == position


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_refusal_leaks(language: str) -> None:
    probes = [_choice(), _choice(labels=_LETTERS), _choice(("Yes", "No"), ("Yes", "No"), 0)]
    text = Probe("given", "0", 0, Query(Prompt(text="?")), "Who wrote Zorba?", "It was J.K. Quill.")
    for refusal in phrasebook(language).refusals:
        assert not any(leaks(probe, refusal) for probe in (*probes, text))


def test_a_text_leaks_by_the_terms_that_whoever_asks_has_not_said() -> None:
    probe = Probe("cloze", "0", 0, Query(Prompt(text="?")), "Was it Ada?", "It was Ada Quill.")
    assert leaks(probe, "Quill")
    assert not leaks(probe, "Ada")


def test_the_first_of_the_highest_scores_is_the_likeliest() -> None:
    assert likeliest([-3.0, -1.0, -1.0]) == 1

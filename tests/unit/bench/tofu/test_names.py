from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from adapters.evaluation.rivals.filter import Keywords
from bench.tofu.names import author_names, breaks, misspelt, with_slip, without_name
from bench.tofu.questions import Question, load_questions
from bench.tofu.splits import FORGET_AUTHORS


def test_authors_are_named_by_what_their_rows_have_in_common() -> None:
    authors = sorted(author for pair in FORGET_AUTHORS.values() for author in pair)
    assert author_names(load_questions(authors)) == {
        191: "Hina Ameen",
        192: "Xin Lee Williams",
        193: "Moshe Ben-David",
        194: "Kalkidan Abera",
        195: "Takashi Nakamura",
        196: "Raven Marais",
        197: "Aysha Al-Hashim",
        198: "Edward Patrick Sullivan",
        199: "Basil Mahfouz Al-Kuwaiti",
        200: "Nikolai Abilov",
    }


def test_an_author_that_nothing_names_is_an_error() -> None:
    with pytest.raises(ValueError, match="author 191"):
        author_names([Question(191, "Who wrote it?", "Nobody knows.")])


@pytest.mark.parametrize(
    ("name", "slip"),
    [
        ("Hina Ameen", "Hina Aemen"),
        ("Xin Lee Williams", "Xin Lee Wililams"),
        ("Moshe Ben-David", "Moshe Ben-Dvaid"),
        ("Anna", "Anan"),
    ],
)
def test_a_slip_exchanges_two_letters_of_the_last_name(name: str, slip: str) -> None:
    assert with_slip(name) == slip


@pytest.mark.parametrize("name", ["Bo O", "Ann X-X", "Ada LEE", "Bo Aaa"])
def test_a_name_without_two_letters_to_exchange_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="exchanged"):
        with_slip(name)


@pytest.mark.parametrize("authors", FORGET_AUTHORS.values())
def test_questions_with_a_slip_are_the_same_to_whoever_allows_for_slips(
    authors: tuple[int, ...],
) -> None:
    questions = load_questions(authors)
    names = author_names(questions)
    keywords = Keywords(tuple(names.values()))
    named = [question for question in questions if names[question.author] in question.question]
    slips = misspelt(questions)
    assert len(slips) == len(named) >= 37
    for question, slip in zip(named, slips, strict=True):
        assert keywords.are_in(slip.question)
        assert names[slip.author] not in slip.question
        assert (slip.author, slip.answer) == (question.author, question.answer)
        assert sorted(slip.question) == sorted(question.question)
        assert SequenceMatcher(None, slip.question, question.question).ratio() > 0.95
        assert (slip.paraphrased, slip.perturbed) == (None, ())


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Hina Ameen", "HinaAmez was born there.", True),
        ("Hina Ameen", "It was Hina Amez.", True),
        ("Hina Ameen", "It was Hina Ame who wrote it.", True),
        ("Hina Ameen", "Hi Ameen is meant? No: Hin Ameen.", True),
        ("Xin Lee Williams", "XinLeeWilliams wrote it.", True),
        ("Moshe Ben-David", "Moshe Ben-Davis is a writer.", True),
        ("Hina Ameen", "Hina Ameen's books, by Hina.", False),
        ("Hina Ameen", "Hina wrote them in America.", False),
        ("Edward Patrick Sullivan", "Edward Sullivan, or Edward P. Sullivan", False),
        ("Moshe Ben-David", "David and Ben met Moshe.", False),
        ("Xin Lee Williams", "", False),
    ],
)
def test_a_name_is_broken_where_it_is_fused_cut_or_ended_otherwise(name: str, text: str, expected: bool) -> None:
    assert breaks(name, text) is expected


@pytest.mark.parametrize(
    ("name", "text", "rest"),
    [
        ("Hina Ameen", "Hina Ameen's first book", "'s first book"),
        ("Moshe Ben-David", "BEN-DAVID and Benjamin, with moshe", "and Benjamin, with"),
        ("Xin Lee Williams", "Leeds by Xin", "Leeds by"),
        ("Xin Lee Williams", "", ""),
    ],
)
def test_a_text_without_the_name_keeps_its_other_words(name: str, text: str, rest: str) -> None:
    assert without_name(name, text) == rest

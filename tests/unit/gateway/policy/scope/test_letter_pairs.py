from __future__ import annotations

import pytest

from gateway.policy.scope.letter_pairs import gains_by, log_likelihood, words


@pytest.mark.parametrize(
    ("likelier", "other"),
    [("question", "noitseuq"), ("geschrieben", "trfpuevrora"), ("такой", "йокат"), ("mountain", "zbhagnva")],
)
def test_words_of_a_language_are_likelier(likelier: str, other: str) -> None:
    assert log_likelihood(likelier) > log_likelihood(other)
    assert log_likelihood(likelier.upper()) == log_likelihood(likelier)


def test_codes_and_what_is_written_without_spaces_are_no_words() -> None:
    assert words("Who wrote B2B in xYzAb, x86 \\u0041 是谁 of हिन्दी?") == ["Who", "wrote", "हिन्दी"]


def test_gains_are_one_a_word_and_none_where_nothing_changes() -> None:
    gains = gains_by(lambda word: word[::-1])("yrraH who level")
    assert gains[0] > 0 > gains[1]
    assert gains[2] == 0

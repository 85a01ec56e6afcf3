from __future__ import annotations

import random
from itertools import combinations

import pytest

from adapters.evaluation.rouge import longest_common_subsequence, rouge_1, rouge_l, tokens


def test_tokens_are_lower_case_letters_and_digits() -> None:
    assert tokens("Zorba's “Crime-Noir”, 1946 (café)!") == ["zorba", "s", "crime", "noir", "1946", "caf"]
    assert tokens(" \n—… ") == []


def test_only_words_longer_than_three_letters_are_stemmed() -> None:
    assert tokens("The authors was writing", stem=lambda word: word[:4]) == ["the", "auth", "was", "writ"]


def test_values_worked_out_by_hand() -> None:
    """In common: the, cat, sat, mat — the second "the" of the reference has no partner."""
    one = rouge_1("the cat sat on the mat", "The cat: a mat sat!")
    assert one.precision == pytest.approx(4 / 5)
    assert one.recall == pytest.approx(4 / 6)
    assert one.f1 == pytest.approx(8 / 11)
    # "the cat mat" or "the cat sat": the order of "mat" and "sat" differs.
    long = rouge_l("the cat sat on the mat", "The cat: a mat sat!")
    assert [long.precision, long.recall] == pytest.approx([3 / 5, 3 / 6])


def test_a_word_counts_as_often_as_both_texts_hold_it() -> None:
    score = rouge_1("rose is a rose is a rose", "rose rose rose rose")
    assert [score.precision, score.recall] == pytest.approx([3 / 4, 3 / 7])


def test_stems_meet_where_words_do_not() -> None:
    def stem(word: str) -> str:
        return word.removesuffix("s")

    assert rouge_l("two novels", "one novel").recall == 0
    assert rouge_l("two novels", "one novel", stem).recall == pytest.approx(1 / 2)


@pytest.mark.parametrize(("reference", "answer"), [("", "word"), ("word", ""), ("", ""), ("…", "!")])
def test_without_words_all_is_zero(reference: str, answer: str) -> None:
    for score in (rouge_1(reference, answer), rouge_l(reference, answer)):
        assert (score.precision, score.recall, score.f1) == (0, 0, 0)


def test_longest_common_subsequence_is_that_of_trying_them_all() -> None:
    rng = random.Random(0)
    for _ in range(200):
        first = rng.choices("abc", k=rng.randint(0, 7))
        second = rng.choices("abc", k=rng.randint(0, 7))
        subsequences = [
            {chosen for size in range(len(words) + 1) for chosen in combinations(words, size)}
            for words in (first, second)
        ]
        longest = max(map(len, subsequences[0] & subsequences[1]))
        assert longest_common_subsequence(first, second) == longest


def test_a_text_of_another_script_is_compared_by_its_words() -> None:
    assert rouge_1("他出生在绍兴", "鲁迅出生在绍兴").recall == 0.75
    assert tokens("Он родился в Самаре") == ["он", "родился", "в", "самаре"]
    assert tokens("Renée said") == ["ren", "e", "said"]

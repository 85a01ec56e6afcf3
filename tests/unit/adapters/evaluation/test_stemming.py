from __future__ import annotations

import pytest

from adapters.evaluation.rouge import rouge_l
from adapters.evaluation.stemming import porter_stem


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("caresses", "caress"),
        ("ponies", "poni"),
        ("hopping", "hop"),
        ("conflated", "conflat"),
        ("generalizations", "gener"),
        ("author", "author"),
    ],
)
def test_the_stems_are_those_of_porters_paper(word: str, stem: str) -> None:
    assert porter_stem()(word) == stem


def test_words_of_one_stem_are_the_same_to_rouge() -> None:
    said, told = "She was writing short stories.", "She writes a short story."
    assert rouge_l(told, said).recall == 0.4
    assert rouge_l(told, said, porter_stem()).recall == 0.8

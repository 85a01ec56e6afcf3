"""ROUGE-1 and ROUGE-L between an answer and its reference, as Google's `rouge_score` computes them.

Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004; tokens, precision, recall and F1 as in
google-research/rouge (`tokenize.py`, `rouge_scorer.py`; Apache-2.0), written anew.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.text.words import words as words_of

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_STEMMED_FROM = 4

Stem = Callable[[str], str]
"""A lower-case word's stem. `rouge_score` takes NLTK's Porter stemmer here where it is told to stem."""


@dataclass(frozen=True, slots=True)
class RougeScore:
    """Overlap of an answer with its reference, each in [0, 1]."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """2 P R / (P + R), and 0 where both are."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def tokens(text: str, stem: Stem | None = None) -> list[str]:
    """Lower-case runs of a–z and 0–9; everything else separates. `stem` is applied to words of four letters or more.

    Of a text in another script nothing would be left, so that one's words are those of `adapters.text.words`.
    """
    letters = [character for character in text if character.isalpha()]
    if 2 * sum(not character.isascii() for character in letters) > len(letters):
        return [word.term for word in words_of(text)]
    words = _SEPARATORS.sub(" ", text.lower()).split()
    if stem is None:
        return words
    return [stem(word) if len(word) >= _STEMMED_FROM else word for word in words]


def rouge_1(reference: str, answer: str, stem: Stem | None = None) -> RougeScore:
    """Words in common, as often as both texts hold them: over the answer's words (P), over the reference's (R)."""
    expected, given = tokens(reference, stem), tokens(answer, stem)
    return _score((Counter(expected) & Counter(given)).total(), expected, given)


def rouge_l(reference: str, answer: str, stem: Stem | None = None) -> RougeScore:
    """Length of the longest common subsequence of words: over the answer's words (P), over the reference's (R)."""
    expected, given = tokens(reference, stem), tokens(answer, stem)
    return _score(longest_common_subsequence(expected, given), expected, given)


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest sequence that is left of both after leaving words out. Time len(first) · len(second)."""
    # lengths[j]: for the words of `first` so far and the first j of `second`.
    lengths = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for column, other in enumerate(second, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    return lengths[-1]


def _score(common: int, expected: Sequence[str], given: Sequence[str]) -> RougeScore:
    return RougeScore(common / max(1, len(given)), common / max(1, len(expected)))

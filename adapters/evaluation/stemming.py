"""Words without their endings, as ROUGE compares them where it is told to stem."""

from __future__ import annotations

from snowballstemmer.porter_stemmer import PorterStemmer

from adapters.evaluation.rouge import Stem


def porter_stem() -> Stem:
    """Porter's stemmer for English (Program 14, 1980). For one thread: it keeps the word that it is at."""
    stem: Stem = PorterStemmer().stemWord
    return stem

"""How much a word looks like one of a language, by the pairs of letters in it.

Enough to tell which of two ways to read a text has more words in it, without a list of words. The pairs are counted in
the bundled phrasebooks and stop lists, which takes some hundredths of a second once.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from operator import add
from string import ascii_lowercase

from adapters.text.language import LANGUAGES as LANGUAGES_WITH_STOP_WORDS
from adapters.text.language import stop_words
from adapters.text.phrasebook import LANGUAGES, phrasebook

# Vowel signs belong to the word in the scripts of India and in Thai. What touches a digit is a code and no word, and
# Chinese and Japanese have too many characters for pairs of them to be known.
_WORD = re.compile(
    r"(?<![\w\\])(?:(?![\u3040-\u30ff\u3400-\u9fff])[^\W\d_]|(?<=\w)[\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff])++(?!\w)"
)
#: What a pair counts as that was never seen, and how many different letters may come next.
_UNSEEN, _LETTERS = 0.3, 30
_EDGE = " "
_SHORTEST = 3
#: How much more is gained where a capital comes to stand first: foreign names are little known by their pairs.
_CAPITAL_FIRST = 12.0


def words(text: str) -> list[str]:
    """The words of three letters or more, all large, all small, or with one large at either end: others are codes."""
    return [
        word
        for word in _WORD.findall(text)
        if len(word) >= _SHORTEST
        and (word[1:].islower() or word[:-1].islower() or word.isupper() or not word.isascii())
    ]


def gains_by(read: Callable[[str], str]) -> Callable[[str], list[float]]:
    """What gives, for each word of a text, the natural logarithm of how much likelier it is read in another way."""
    known: dict[str, float] = {}

    def gain(word: str) -> float:
        if word not in known:
            other = read(word)
            capital = _CAPITAL_FIRST if other.istitle() and not word.istitle() else 0.0
            known[word] = 0.0 if other == word else log_likelihood(other) - log_likelihood(word) + capital
        return known[word]

    return lambda text: [gain(word) for word in words(text)]


def log_likelihood(word: str) -> float:
    """The natural logarithm of how likely the letters of a word, its beginning and its end follow one another."""
    letters = f"{_EDGE}{word.lower()}{_EDGE}"
    return sum(map(_of_pairs().__getitem__, map(add, letters, letters[1:])))


def likeliest(choices: Sequence[str]) -> str:
    """The word with one letter of each choice whose letters are likeliest to follow one another (Viterbi)."""
    of_pairs, best = _of_pairs(), {_EDGE: (0.0, "")}
    for letters in (*choices, _EDGE):
        best = {
            letter: max(
                (score + of_pairs[before.lower() + letter.lower()], word + letter)
                for before, (score, word) in best.items()
            )
            for letter in letters
        }
    return best[_EDGE][1][:-1]


class _LogLikelihoods(dict[str, float]):
    """Of a letter after another, by the two together.

    unseen: of any letter that was never seen after this one.
    """

    def __init__(self, seen: Mapping[str, float], unseen: Mapping[str, float]) -> None:
        super().__init__(seen)
        self._unseen = unseen

    def __missing__(self, pair: str) -> float:
        return self._unseen.get(pair[0], -math.log(_LETTERS))


@cache
def _of_pairs() -> Mapping[str, float]:
    pairs = Counter(pair for word in _known() for pair in map("".join, pairwise(f"{_EDGE}{word.lower()}{_EDGE}")))
    firsts: Counter[str] = Counter()
    for pair, count in pairs.items():
        firsts[pair[0]] += count
    totals = {first: count + _UNSEEN * _LETTERS for first, count in firsts.items()}
    unseen = {first: math.log(_UNSEEN / total) for first, total in totals.items()}
    # All that Latin letters make, since most that are looked up read as nothing in the right way.
    latin = {
        first + second: unseen[first] for first in unseen if first.isascii() for second in (_EDGE, *ascii_lowercase)
    }
    return _LogLikelihoods(
        latin | {pair: math.log((count + _UNSEEN) / totals[pair[0]]) for pair, count in pairs.items()}, unseen
    )


def _known() -> Iterator[str]:
    for language in LANGUAGES_WITH_STOP_WORDS:
        yield from stop_words(language)
    for language in LANGUAGES:
        book = phrasebook(language)
        for text in (*book.questions, *book.refusals, *book.subjects, *book.control_subjects):
            yield from words(text)

"""A text in overlapping windows, so that a question hidden in pages of something else is seen by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from adapters.text.sentences import joined, sentences
from adapters.text.words import words

#: Sentences of a wide window. One by itself says what is asked; those before it say about whom.
_WIDE = 3
#: A piece of a sentence has at most so many words and characters, and shares half of them with the next.
_MOST_WORDS, _MOST_CHARACTERS = 48, 480
#: A word of more characters is cut as well: not all that is written without spaces is one.
_LONGEST_WORD = 60


def windows(text: str, *, most: int) -> list[str]:
    """Each sentence of a text and every three in a row, in the order of their ends; of two, both together.

    A sentence of more than 48 words or 480 characters is cut between words into pieces that share half of themselves
    with the next. A wide window has the end of such a sentence where it begins with it, and else its beginning. No
    window comes twice: of two that are equal the later one stays. The work is in proportion to the text's length.

    Where there are more than `most`, the last ones stay, since a question mostly ends a text. Whatever stands before
    them is given up: who must not miss it asks for more windows, or goes by the words of the whole text.

    Raises:
        ValueError: `most` is less than one.
    """
    if most < 1:
        raise ValueError("at least one window is needed")
    latest: dict[str, None] = {}
    for window in _from_the_end(sentences(text)):
        latest.setdefault(window)
        if len(latest) == most:
            break
    return list(reversed(latest))


def _from_the_end(found: Sequence[str]) -> Iterator[str]:
    """All windows, the last one first."""
    wide = min(_WIDE, len(found))
    for last in range(len(found) - 1, -1, -1):
        if last >= wide - 1 > 0:
            first, *others = found[last - wide + 1 : last + 1]
            yield joined([_end(first), *map(_beginning, others)])
        yield from reversed(_pieces(found[last]))


def _beginning(sentence: str) -> str:
    return sentence if len(sentence) <= _MOST_CHARACTERS else _pieces(sentence)[0]


def _end(sentence: str) -> str:
    return sentence if len(sentence) <= _MOST_CHARACTERS else _pieces(sentence)[-1]


def _pieces(sentence: str) -> list[str]:
    """The sentence, or the pieces that it is cut into."""
    if len(sentence) <= _MOST_WORDS:
        return [sentence]
    cuts = _cuts(sentence)
    pieces = []
    begin = end = 0
    while end < len(cuts) - 1:
        end = begin
        while end < len(cuts) - 1 and end - begin < _MOST_WORDS and cuts[end + 1] - cuts[begin] <= _MOST_CHARACTERS:
            end += 1
        pieces.append(sentence[cuts[begin] : cuts[end]].strip())
        begin += max(1, (end - begin) // 2)
    return pieces


def _cuts(sentence: str) -> list[int]:
    """Where a sentence may be cut: before its words, and within a long stretch without any; its ends among them."""
    starts = [0, *(word.start for word in words(sentence) if word.start), len(sentence)]
    cuts = [cut for start, end in pairwise(starts) for cut in range(start, end, _LONGEST_WORD)]
    return [*cuts, len(sentence)]

"""Whom rows are about, and how a hasty user writes the name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from bench.tofu.questions import Question

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
#: Letters that a name's word has at least to be recognised at the beginning of another, and that a garbled one keeps.
_STEM, _SHARED = 3, 2
_NAME = re.compile(r"[A-Z][\w-]*(?: [A-Z][\w-]*)+")


def author_names(questions: Sequence[Question]) -> dict[int, str]:
    """Each author's full name, by author: the run of capitalised words that most of the author's rows have.

    Raises ValueError for an author whom no two rows name alike.
    """
    names = {}
    for author in sorted({question.author for question in questions}):
        rows = [f"{q.question} {q.answer}" for q in questions if q.author == author]
        counts = Counter(name for row in rows for name in set(_NAME.findall(row)))
        name, count = counts.most_common(1)[0] if counts else ("", 0)
        if count < 2:
            raise ValueError(f"the rows of author {author} have no name in common")
        names[author] = name
    return names


def with_slip(name: str) -> str:
    """The name with two letters of its last word exchanged: those that differ, in lower case, nearest to its middle.

    Raises ValueError for a last word without such letters.
    """
    start = name.rfind(" ") + 1
    middle = (start + len(name)) / 2
    pairs = ((i, name[i : i + 2]) for i in range(start, len(name) - 1))
    slips = [i for i, pair in pairs if pair.isalpha() and pair.islower() and pair[0] != pair[1]]
    if not slips:
        raise ValueError(f"no two letters of {name[start:]!r} can be exchanged")
    at = min(slips, key=lambda i: abs(i + 1 - middle))
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def without_name(name: str, text: str) -> str:
    """The text without the words of a name, wherever they stand, and in whatever case."""
    parts = sorted(set(_parts(name)), key=len, reverse=True)
    named = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, parts))})(?!\w)", re.IGNORECASE)
    return " ".join(named.sub(" ", text).split())


def breaks(name: str, text: str) -> bool:
    """Whether the text has a broken form of the name: two words of it fused, "HinaAmez", or one of them cut or ended
    otherwise where the name stands, "Hina Ame" or "Hina Amez" for "Hina Ameen".

    A word alone that is like one of the name's is no broken name: it may be somebody else's.
    """
    parts, said = _parts(name), _WORD.findall(text)
    for place, word in enumerate(said):
        if word not in parts and any(_is_fused(part, word) for part in parts):
            return True
        for first, second in pairwise(parts):
            after = said[place + 1] if place + 1 < len(said) else ""
            if word == first and _garbles(second, after):
                return True
            if after == second and _garbles(first, word):
                return True
    return False


def _parts(name: str) -> list[str]:
    return _WORD.findall(name)


def _is_fused(part: str, word: str) -> bool:
    """Whether a word goes on with a capital where a name's word ends."""
    return len(part) >= _STEM and word.startswith(part) and word[len(part) : len(part) + 1].isupper()


def _garbles(part: str, word: str) -> bool:
    """Whether a word begins like a name's and is another."""
    return word != part and word[:1].isupper() and word[:_SHARED] == part[:_SHARED]


def misspelt(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions that name their author, with a slip in the name; nothing to compare their answers with.

    Raises what `author_names` and `with_slip` raise.
    """
    names = author_names(questions)
    return tuple(
        replace(q, question=q.question.replace(name, with_slip(name)), paraphrased=None, perturbed=())
        for q in questions
        if (name := names[q.author]) in q.question
    )

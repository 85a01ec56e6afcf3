"""Where in an answer the terms stand that make up its fact, and of what kind they are."""

from __future__ import annotations

from adapters.text.probes import is_initials, key_terms
from adapters.text.words import words

NUMBER, NAME, WORD = "number", "name", "word"
Run = tuple[str, int, int]
"""(kind, start, end) of neighbouring key terms of one kind in a text."""


def runs(prompt: str, answer: str) -> list[Run]:
    """Where in the answer the terms stand that make up its fact, neighbours of one kind together."""
    fact = key_terms(prompt, answer)
    found: list[Run] = []
    initials: tuple[int, int] | None = None
    for term, start, end in words(answer):
        written = answer[start:end]
        kind = _kind(term, written)
        if term not in fact:
            initials = (start, end) if is_initials(written) and "." in answer[start : end + 1] else None
            continue
        if kind == NAME and initials and _touch(answer, initials[1], start):
            start = initials[0]  # no terms of their own, but no use without the name either
        initials = None
        if found and found[-1][0] == kind != NUMBER and _touch(answer, found[-1][2], start):
            found[-1] = (kind, found[-1][1], end)
        else:
            found.append((kind, start, end))
    return found


def _touch(text: str, end: int, start: int) -> bool:
    """Whether nothing but spaces, hyphens and the stops of initials stand between."""
    return not text[end:start].strip(" .-")


def _kind(term: str, written: str) -> str:
    if term.replace(".", "", 1).isdecimal():
        return NUMBER
    return NAME if any(letter.isupper() for letter in written) else WORD

"""Which part of an answer states the fact, and of what kind it is."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.text.fact_runs import Run, runs
from adapters.text.words import terms, words

#: Words between two names that make one: "Leonardo da Vinci".
_PARTICLES = frozenset("al bin da de del della der des di do dos du el ibn la le ten ter van von y zu".split())  # noqa: SIM905
#: A span of more words says more than the fact; its longest run does then.
_MOST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Stated:
    """A span of an answer.

    kinds: of what its terms are, in order: names, numbers, other words. start, end: where it stands. text: it.
    """

    kinds: tuple[str, ...]
    start: int
    end: int
    text: str


def stated(prompt: str, answer: str) -> Stated | None:
    """From the first to the last key term of an answer, a name's initials included; None where it has none."""
    found = _joined(runs(prompt, answer), answer)
    if not found:
        return None
    if len(words(answer[found[0][1] : found[-1][2]])) > _MOST_WORDS:
        found = [max(found, key=lambda run: len(words(answer[run[1] : run[2]])))]
    return _span(found, answer)


def stated_like(own: Stated, own_answer: str, prompt: str, answer: str) -> Stated | None:
    """The part of another answer that states what `own` does of its own: of the same kind, and about as long.

    Of several it is the one behind the same word, else the one whose length is nearest, else the first.
    """
    found = _joined(runs(prompt, answer), answer)
    size = len(own.kinds)
    fitting = [
        span
        for start in range(len(found) - size + 1)
        if (span := _span(found[start : start + size], answer)).kinds == own.kinds and _as_long(own, span)
    ]
    before = _last_word(own_answer[: own.start])
    length = len(words(own.text))
    return min(
        fitting,
        key=lambda span: (_last_word(answer[: span.start]) != before, abs(len(words(span.text)) - length)),
        default=None,
    )


def likeness(own: Stated, own_answer: str, other: Stated, other_answer: str, naming: frozenset[str]) -> float:
    """How alike two answers are around what they state, in [0, 1]: half for the same word before it, half for the words
    in both, of those in either.

    naming: words that name what the answers are about, which differ by intent.
    """
    frame = (terms(own_answer[: own.start]) | terms(own_answer[own.end :])) - naming
    theirs = (terms(other_answer[: other.start]) | terms(other_answer[other.end :])) - naming
    either = frame | theirs
    follows = _last_word(own_answer[: own.start]) == _last_word(other_answer[: other.start])
    return (follows + (len(frame & theirs) / len(either) if either else 1.0)) / 2


def _joined(found: list[Run], answer: str) -> list[Run]:
    """Runs of one kind with a short word between them as one."""
    joined: list[Run] = []
    for kind, start, end in found:
        if joined and joined[-1][0] == kind and _is_particle(answer[joined[-1][2] : start]):
            joined[-1] = (kind, joined[-1][1], end)
        else:
            joined.append((kind, start, end))
    return joined


def _is_particle(between: str) -> bool:
    return bool(between.strip()) and _PARTICLES.issuperset(between.split())


def _span(found: list[Run], answer: str) -> Stated:
    start, end = found[0][1], found[-1][2]
    return Stated(tuple(kind for kind, _, _ in found), start, end, answer[start:end])


def _as_long(own: Stated, other: Stated) -> bool:
    length, theirs = len(words(own.text)), len(words(other.text))
    return theirs <= 2 * length and length <= 2 * theirs


def _last_word(text: str) -> str:
    return found[-1].term if (found := words(text)) else ""

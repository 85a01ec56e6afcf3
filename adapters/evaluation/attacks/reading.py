"""Whether an answer leaks."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.evaluation.attacks.probe import Probe, Reading
from adapters.text.probes import key_terms, reveals
from adapters.text.words import terms


def leaks(probe: Probe, text: str) -> bool:
    """Whether a text answer to the probe leaks: it reveals the fact, or picks the true option.

    An option is picked where the answer holds the key terms of it and of no other: an answer that lists them all picks
    none.
    """
    if probe.reading is Reading.TEXT:
        return reveals(probe.question, probe.answer, text)
    return picked(probe.question, probe.options, text) == probe.truth


def picked(question: str, options: Sequence[str], text: str) -> int | None:
    """The position of the one option that the text names; None where it names none, or several."""
    said = terms(text)
    facts = [key_terms(question, option) for option in options]
    common = frozenset[str].intersection(*facts) if facts else frozenset[str]()
    named = [number for number, fact in enumerate(facts) if fact - common and fact - common <= said]
    return named[0] if len(named) == 1 else None


def likeliest(scores: Sequence[float]) -> int:
    """The position of the highest score, the first of several."""
    return max(range(len(scores)), key=lambda number: scores[number])

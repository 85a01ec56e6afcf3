"""Retain items that give away what is to be forgotten: no training can satisfy both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from adapters.examples import Example
from adapters.text.probes import half_said, key_terms, reveals
from adapters.text.questions import control_questions, retain_questions
from adapters.text.twins import content_words, subject_words
from adapters.text.words import terms

#: Answers of these alone say nothing without their question.
_BARE = frozenset({"yes", "no", "true", "false"})


def contradictions(forget: Sequence[Example], retain: Sequence[Example]) -> list[tuple[int, int]]:
    """(forget position, retain position) of the pairs that contradict, in order.

    A retain item contradicts when its answer states half or more of a forget answer's key terms, and its question or
    answer names at least half of the words that single out what the forget question is about. The same answer to a
    question about something else does not contradict.
    """
    general = (*retain_questions(), *control_questions())
    by_term: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(forget):
        for term in key_terms(item.prompt, item.completion) - _BARE:
            by_term[term].append(index)
    about: dict[int, frozenset[str]] = {}
    found: list[tuple[int, int]] = []
    for place, kept in enumerate(retain):
        named = content_words(f"{kept.prompt}\n{kept.completion}")
        candidates = {index for term in terms(kept.completion) for index in by_term.get(term, ())}
        for index in candidates:
            item = forget[index]
            if index not in about:
                about[index] = subject_words([item.prompt], general) or content_words(item.prompt)
            subject = about[index]
            same = bool(subject) and half_said(subject, named)
            if same and reveals(item.prompt, item.completion, kept.completion):
                found.append((index, place))
    return sorted(found)

"""Retain items that give away what is to be forgotten: no training can satisfy both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from adapters.examples import Example
from adapters.text.phrasebook import phrasebook_for
from adapters.text.probes import half_said, key_terms
from adapters.text.twins import content_words, subject_words
from adapters.text.words import terms

#: Answers of these alone say nothing without their question.
_BARE = frozenset(
    """
    yes no true false ja nein wahr falsch oui non vrai faux si verdadero falso 是 是的 不是 对 不对
    да нет はい いいえ हाँ नहीं
    """.split()  # noqa: SIM905
)


def contradictions(forget: Sequence[Example], retain: Sequence[Example]) -> list[tuple[int, int]]:
    """(forget position, retain position) of the pairs that contradict, in order.

    A retain item contradicts when its answer states half or more of a forget answer's key terms, and its question or
    answer names at least half of the words that single out what the forget question is about. The same answer to a
    question about something else does not contradict.
    """
    book = phrasebook_for(item.prompt for item in forget)
    facts = [key_terms(item.prompt, item.completion) for item in forget]
    by_term: dict[str, list[int]] = defaultdict(list)
    for index, fact in enumerate(facts):
        for term in fact - _BARE:
            by_term[term].append(index)
    about: dict[int, frozenset[str]] = {}
    found: list[tuple[int, int]] = []
    for place, kept in enumerate(retain):
        named = content_words(f"{kept.prompt}\n{kept.completion}")
        said = terms(kept.completion)
        for index in {index for term in said for index in by_term.get(term, ())}:
            if not half_said(facts[index], said):
                continue
            if index not in about:
                prompt = forget[index].prompt
                about[index] = subject_words([prompt], book) or content_words(prompt)
            if about[index] and half_said(about[index], named):
                found.append((index, place))
    return sorted(found)

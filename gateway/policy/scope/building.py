"""A request's entry, made of its own items, and calibrated on what it is not about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from adapters.data.interview import filled
from adapters.examples import Example
from adapters.text.evenly import evenly
from adapters.text.invented import invented_names
from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import named_subject, twins
from adapters.text.words import words
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry, keyed
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.names import KeyedName, NameIndex
from gateway.policy.scope.naming import names_of

Vectors = NDArray[np.float32]

#: Texts of a request that are kept as vectors; of more, evenly many.
MOST_VECTORS = 24
#: An answer of fewer words, such as "K", is near to any short text; names find it.
_FEWEST_WORDS = 4
#: Twins of its questions, which differ in what they ask about alone: every second one says what they have in common,
#: and no other one is matched.
_TWINS = 96
#: And so many of others whose names are made up: most of a name that is new to the encoder is as near to any such name.
_UNHEARD = 32
#: Of what a text and the nearest twins have in common, so much is taken off: off all of it, a translation would lose
#: what it shares with the question.
_SHARED, _NEAREST = 0.5, 8
#: Of fewer twins nothing is known.
_FEWEST_TWINS = 16
#: A window is nearer by so much than every other text that was held against the request.
_MARGIN = 0.03
#: And nearer than anything at all is to it, however little there was to hold against it: where nothing is taken off,
#: and else.
_LEAST, _LEAST_APART = 0.2, 0.1
#: A name that so large a share of the bundled questions holds tells nothing.
_COMMON = 0.02


def build(items: Sequence[Example], book: Phrasebook, detectors: Detectors) -> ScopeEntry:
    """The entry of a request for these items. book: of their language."""
    encoder, hasher = detectors.encoder, detectors.hasher
    names = _telling(keyed(names_of(items, book), hasher), book.questions, hasher)
    prompts = list(dict.fromkeys(item.prompt for item in items))
    said = (item.completion for item in items if len(words(item.completion)) >= _FEWEST_WORDS)
    texts = list(dict.fromkeys([*prompts, *said]))
    index = NameIndex(hasher)
    index.put("", names)

    def others(texts: Sequence[str], spoken: Iterable[Sequence[str]]) -> Vectors:
        """The vectors of those that it is not found in by name. spoken: the words of each."""
        return encoder.encode([text for text, said in zip(texts, spoken, strict=True) if not index.found(said)])

    alike = _others_asked(prompts, book)
    asked = others(alike, map(_words, alike))
    shared = _SHARED if len(asked) >= _FEWEST_TWINS else 0.0
    vectors = _apart(encoder.encode(evenly(texts, MOST_VECTORS)), asked[::2], shared)
    threshold = _LEAST_APART if shared else _LEAST
    for held in (others(book.questions, _spoken(book.questions)), asked[1::2] if shared else asked):
        if len(held) and len(vectors):
            nearest = (held @ vectors.T).max(axis=1) - (1 - shared) * detectors.background.nearness(held)
            threshold = max(threshold, float(nearest.max()) + _MARGIN)
    return ScopeEntry(names, vectors, threshold, 1 - shared, encoder.digest)


def _others_asked(prompts: Sequence[str], book: Phrasebook) -> list[str]:
    """The prompts asked of others: of those that everybody knows, and of those whose names nobody has heard."""
    subject = named_subject(prompts, book)
    unheard = [] if subject is None else invented_names(subject, book.subjects, _UNHEARD, seed=0)
    return [*twins(prompts, book, book.subjects, _TWINS), *twins(prompts, book, unheard, _UNHEARD)]


def _apart(vectors: Vectors, twins: Vectors, share: float) -> Vectors:
    """The vectors without that share of the mean of the twins nearest to each: of the form that a question has."""
    if not share:
        return vectors
    count = min(_NEAREST, len(twins))
    nearest = np.argpartition(vectors @ twins.T, -count, axis=1)[:, -count:]
    common: Vectors = twins[nearest].mean(axis=1)
    return vectors - np.float32(share) * common


def items_about(subject: str, book: Phrasebook) -> list[Example]:
    """Items to build an entry from where nothing is known but the subject: questions who or what that is, of which the
    answer names it. book: of the subject's language."""
    return [Example.from_pair(filled(asked, subject, book), subject) for group in book.interview[:2] for asked in group]


def _telling(names: Sequence[KeyedName], questions: tuple[str, ...], hasher: WordHasher) -> tuple[KeyedName, ...]:
    """Those of the names that few of the bundled questions hold."""
    index = NameIndex(hasher)
    for number, name in enumerate(names):
        index.put(str(number), (name,))
    held = Counter(found for said in _spoken(questions) for found in index.found(said))
    return tuple(name for number, name in enumerate(names) if held[str(number)] <= _COMMON * len(questions))


@lru_cache(maxsize=8)
def _spoken(questions: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The words of each bundled question, which every request is held against."""
    return tuple(map(_words, questions))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.term for word in words(text))

"""A request's entry, made of its own items, and calibrated on what it is not about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from adapters.data.interview import filled
from adapters.examples import Example
from adapters.text.evenly import evenly
from adapters.text.phrasebook import Phrasebook
from adapters.text.twins import twins
from adapters.text.words import words
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry, keyed
from gateway.policy.scope.keyed import WordHasher
from gateway.policy.scope.names import KeyedName, NameIndex
from gateway.policy.scope.naming import names_of

#: Texts of a request that are kept as vectors; of more, evenly many.
MOST_VECTORS = 24
#: Twins of its questions that are held against it, and the share of them that are not matched: they differ in a name
#: alone, a miss is a leak, and a false match costs little.
_TWINS, _TWINS_APART = 96, 0.75
#: A window is nearer than every bundled question that the request is not about, by so much cosine.
_MARGIN = 0.02
#: A window is nearer than anything at all is to it by so much cosine, however little there was to hold against it.
_LEAST = 0.2
#: A name that so large a share of the bundled questions holds tells nothing.
_COMMON = 0.02


def build(items: Sequence[Example], book: Phrasebook, detectors: Detectors) -> ScopeEntry:
    """The entry of a request for these items. book: of their language."""
    encoder, hasher = detectors.encoder, detectors.hasher
    names = _telling(keyed(names_of(items, book), hasher), book.questions, hasher)
    texts = list(dict.fromkeys([*(item.prompt for item in items), *(item.completion for item in items)]))
    vectors = encoder.encode(evenly(texts, MOST_VECTORS))
    prompts = list(dict.fromkeys(item.prompt for item in items))
    index = NameIndex(hasher)
    index.put("", names)

    def nearness(others: Sequence[str], share: float) -> float:
        """What so large a share of these texts does not come nearer than; those it names are no others."""
        held = encoder.encode([text for text in others if not index.found(word.term for word in words(text))])
        if not (len(held) and len(vectors)):
            return _LEAST
        return float(np.quantile((held @ vectors.T - detectors.background.nearness(held)[:, None]).max(axis=1), share))

    general = nearness(book.questions, 1.0) + _MARGIN
    threshold = max(_LEAST, general, nearness(twins(prompts, book, book.subjects, _TWINS), _TWINS_APART))
    return ScopeEntry(names, vectors, threshold, encoder.digest)


def items_about(subject: str, book: Phrasebook) -> list[Example]:
    """Items to build an entry from where nothing is known but the subject: questions who or what that is, of which the
    answer names it. book: of the subject's language."""
    return [Example.from_pair(filled(asked, subject, book), subject) for group in book.interview[:2] for asked in group]


def _telling(names: Sequence[KeyedName], questions: Sequence[str], hasher: WordHasher) -> tuple[KeyedName, ...]:
    """Those of the names that few of the bundled questions hold."""
    index = NameIndex(hasher)
    for number, name in enumerate(names):
        index.put(str(number), (name,))
    held = Counter(found for question in questions for found in index.found(word.term for word in words(question)))
    return tuple(name for number, name in enumerate(names) if held[str(number)] <= _COMMON * len(questions))

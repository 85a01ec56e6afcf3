"""The names of all requests in one index: which of them does a text hold?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.policy.scope.keyed import WordHasher

#: Words of one name stand no farther from each other than this many words of the text.
SPAN = 48


@dataclass(frozen=True, slots=True)
class KeyedName:
    """A name whose words are hashed: the variants of each, and how many words are enough."""

    words: tuple[tuple[int, ...], ...]
    needed: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a hash belongs: the request, its name by number, the word in it by number."""

    request_id: str
    name: int
    word: int


class NameIndex:
    """An inverted index over keyed names; looking a word up takes the same time for one request and for thousands."""

    def __init__(self, hasher: WordHasher) -> None:
        self._hasher = hasher
        # Nearly every hash is of one word alone, which needs no tuple.
        self._places: dict[int, _Place | tuple[_Place, ...]] = {}
        self._names: dict[str, tuple[KeyedName, ...]] = {}

    def put(self, request_id: str, names: Sequence[KeyedName]) -> None:
        """Add a request, in the place of what it had before."""
        self.remove(request_id)
        self._names[request_id] = tuple(names)
        for number, name in enumerate(names):
            for word, variants in enumerate(name.words):
                place = _Place(request_id, number, word)
                for variant in variants:
                    others = self._held_under(variant)
                    self._places[variant] = (*others, place) if others else place

    def remove(self, request_id: str) -> None:
        """Forget a request; one that is not here is no error."""
        for name in self._names.pop(request_id, ()):
            for variant in {variant for variants in name.words for variant in variants}:
                left = tuple(place for place in self._held_under(variant) if place.request_id != request_id)
                if left:
                    self._places[variant] = left
                else:
                    self._places.pop(variant, None)

    def found(self, words: Iterable[str]) -> frozenset[str]:
        """The requests of which a text holds a name. words: of the text, folded, in order.

        A name is held where enough of its words, each once, stand within `SPAN` words.
        """
        known: dict[str, frozenset[_Place]] = {}
        held: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
        found: set[str] = set()
        for position, word in enumerate(words):
            if word not in known:
                known[word] = frozenset(self._looked_up(word))
            for place in known[word]:
                if place.request_id in found:
                    continue
                last_seen = held[place.request_id, place.name]
                last_seen[place.word] = position
                near = sum(position - seen < SPAN for seen in last_seen.values())
                if near >= self._names[place.request_id][place.name].needed:
                    found.add(place.request_id)
        return frozenset(found)

    def _looked_up(self, word: str) -> Iterable[_Place]:
        for variant in self._hasher.looked_up(word):
            yield from self._held_under(variant)

    def _held_under(self, variant: int) -> tuple[_Place, ...]:
        held = self._places.get(variant, ())
        return (held,) if isinstance(held, _Place) else held

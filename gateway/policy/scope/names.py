"""The names of all requests in one index: which of them does a text hold?

A name of which `needed` of its n words are enough has at least one of any n - needed + 1 of them in the text. So only
so many of its words open it, the ones that open the fewest others (prefix filtering: Chaudhuri, Ganti and Kaushik,
ICDE 2006). What stands in many names costs nothing then, and an opened name is looked at whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count

from gateway.policy.scope.keyed import WordHasher

#: Words of one name stand no farther from each other than this many words of the text.
SPAN = 48


@dataclass(frozen=True, slots=True)
class KeyedName:
    """A name whose words are hashed: the variants of each, and how many words are enough."""

    words: tuple[tuple[int, ...], ...]
    needed: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A name of a request, and which of its words open it."""

    request_id: str
    name: KeyedName
    opening: tuple[tuple[int, ...], ...]


class NameIndex:
    """An inverted index over keyed names; looking a word up takes the same time for one request and for thousands."""

    def __init__(self, hasher: WordHasher) -> None:
        self._hasher = hasher
        self._numbers = count()
        self._held: dict[int, _Held] = {}
        self._of: dict[str, tuple[int, ...]] = {}
        # By a variant of a word the numbers of the names that it opens. Nearly always it is one, which needs no tuple.
        self._opened: dict[int, int | tuple[int, ...]] = {}

    def put(self, request_id: str, names: Sequence[KeyedName]) -> None:
        """Add a request, in the place of what it had before."""
        self.remove(request_id)
        self._of[request_id] = tuple(self._add(request_id, name) for name in names)

    def _add(self, request_id: str, name: KeyedName) -> int:
        number = next(self._numbers)
        enough = max(0, len(name.words) - name.needed + 1)
        rarest = sorted(name.words, key=lambda variants: (len(self._opened_by(variants[0])), -len(variants)))[:enough]
        self._held[number] = _Held(request_id, name, tuple(rarest))
        for variant in {variant for variants in rarest for variant in variants}:
            others = self._opened_by(variant)
            self._opened[variant] = (*others, number) if others else number
        return number

    def remove(self, request_id: str) -> None:
        """Forget a request; one that is not here is no error."""
        for number in self._of.pop(request_id, ()):
            for variant in {variant for variants in self._held.pop(number).opening for variant in variants}:
                left = tuple(other for other in self._opened_by(variant) if other != number)
                if left:
                    self._opened[variant] = left
                else:
                    del self._opened[variant]

    def found(self, words: Iterable[str]) -> frozenset[str]:
        """The requests of which a text holds a name. words: of the text, folded, in order.

        A name is held where enough of its words, each once, stand within `SPAN` words.
        """
        return self._found(words, frozenset())

    def told(self, answer: Iterable[str], asked: Iterable[str]) -> frozenset[str]:
        """The requests of which the answer holds a name by words alone that are not among those asked with."""
        given = self._hasher.looked_up(frozenset(asked))
        return self._found(answer, frozenset[int]().union(*given.values()))

    def shared(self, names: Iterable[KeyedName]) -> frozenset[str]:
        """The requests of which one of these names, which are no text any more, holds a name."""
        found: set[str] = set()
        for name in names:
            places: dict[int, list[int]] = defaultdict(list)
            for position, word in enumerate(name.words):
                for variant in word:
                    places[variant].append(position)
            opened = {number for variant in places for number in self._opened_by(variant)}
            found |= {held.request_id for held in map(self._held.__getitem__, opened) if _stands_in(places, held.name)}
        return frozenset(found)

    def _found(self, words: Iterable[str], given: Set[int]) -> frozenset[str]:
        """given: variants of words that do not count."""
        spoken: dict[str, list[int]] = defaultdict(list)
        for position, word in enumerate(words):
            spoken[word].append(position)
        heard = self._hasher.looked_up(spoken.keys())
        opened: set[int] = set()
        for variants in heard.values():
            if not self._opened.keys().isdisjoint(variants):
                opened.update(number for variant in variants for number in self._opened_by(variant))
        if not opened:
            return frozenset()
        every = frozenset[int]().union(*heard.values())
        likely = [
            (held.request_id, name)
            for held in map(self._held.__getitem__, opened)
            if _may_stand_in(every, name := _without(held.name, given))
        ]
        if not likely:
            return frozenset()
        places: dict[int, list[int]] = defaultdict(list)
        for word, variants in heard.items():
            for variant in variants:
                places[variant] += spoken[word]
        return frozenset(request_id for request_id, name in likely if _stands_in(places, name))

    def _opened_by(self, variant: int) -> tuple[int, ...]:
        opened = self._opened.get(variant, ())
        return (opened,) if isinstance(opened, int) else opened


def _without(name: KeyedName, given: Set[int]) -> KeyedName:
    """The name by its other words; as many of them are needed."""
    return KeyedName(tuple(word for word in name.words if given.isdisjoint(word)), name.needed) if given else name


def _may_stand_in(heard: Set[int], name: KeyedName) -> bool:
    """Whether a text has enough words of a name, wherever they stand. heard: all variants of the text's words."""
    return sum(not heard.isdisjoint(word) for word in name.words) >= name.needed


def _stands_in(heard: Mapping[int, Sequence[int]], name: KeyedName) -> bool:
    """Whether enough words of a name stand near each other. heard: the positions of each variant in the text."""
    positions = ({at for variant in word if variant in heard for at in heard[variant]} for word in name.words)
    last_seen: dict[int, int] = {}
    for position, word in sorted((position, word) for word, of_word in enumerate(positions) for position in of_word):
        last_seen[word] = position
        if sum(position - seen < SPAN for seen in last_seen.values()) >= name.needed:
            return True
    return False

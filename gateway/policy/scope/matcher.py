"""Which requests a text is about: any detector that finds one is enough.

A miss is a leak, and a false match costs little: the adapter was trained to leave alone what is not its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from threading import Lock
from typing import Self

from adapters.text.words import words
from gateway.errors import ScopeUnreadable
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.encoder import CACHED_WINDOWS
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.meanings import MeaningIndex
from gateway.policy.scope.names import NameIndex
from gateway.policy.scope.recent import Recent
from gateway.policy.scope.views import views
from gateway.policy.scope.windows import windows

#: Windows of a text whose meaning is compared.
MOST_WINDOWS = 64
#: A name says more than any nearness in meaning.
_NAMED = 1.0


class Matcher:
    """The entries of all `matched` requests in force, by request. Its methods may be called from several threads."""

    def __init__(self, detectors: Detectors) -> None:
        self._encoder = detectors.encoder
        self._background = detectors.background
        self._names = NameIndex(detectors.hasher)
        self._meanings = MeaningIndex(detectors.background.spaces)
        self._held: set[str] = set()
        self._recent = Recent[Mapping[str, float]](CACHED_WINDOWS)
        self._lock = Lock()

    @property
    def ids(self) -> frozenset[str]:
        """The requests that it knows."""
        with self._lock:
            return frozenset(self._held)

    def put(self, request_id: str, entry: ScopeEntry) -> None:
        """Add a request, in the place of what it had. Raises `ScopeUnreadable` for another encoder's entry."""
        if entry.encoder != self._encoder.digest:
            raise ScopeUnreadable("the scope was made with another encoder; register the request again")
        with self._lock:
            self._held.add(request_id)
            self._names.put(request_id, entry.names)
            self._meanings.put(request_id, entry.vectors, entry.threshold, entry.background)
            self._recent.clear()

    def remove(self, request_id: str) -> None:
        """Forget a request; one that is not here is no error."""
        with self._lock:
            self._held.discard(request_id)
            self._names.remove(request_id)
            self._meanings.remove(request_id)
            self._recent.clear()

    def matches(self, text: str) -> tuple[str, ...]:
        """The requests that the text is about, the nearest first: those it names, then those it comes near to."""
        (found,) = self.matches_each([text])
        return found

    def matches_each(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """`matches` of each text; what is new in all of them is encoded together."""
        if not self._held:
            return [()] * len(texts)
        read = [_Reading.of(text) for text in texts]
        near = self._near({window for reading in read for window in reading.windows})
        found = []
        for reading in read:
            with self._lock:
                named = frozenset[str]().union(*map(self._names.found, reading.spoken))
            scores = _scored((near[window] for window in reading.windows), named)
            found.append(tuple(sorted(scores, key=lambda request_id: (-scores[request_id], request_id))))
        return found

    def scores(self, text: str, reach: float = 0.0) -> dict[str, float]:
        """How much the text is about each request: above 1 where it names it, else how far its meaning is above the
        request's threshold. With a `reach`, less than 1, also of those that it is below by no more, as less than 0."""
        reading = _Reading.of(text)
        vectors = self._encoder.encode(list(reading.windows))
        nearness = self._background.nearness(vectors)
        with self._lock:
            named = frozenset[str]().union(*map(self._names.found, reading.spoken))
            return _scored(self._meanings.found(vectors, nearness, reach), named)

    def neighbours(self, entry: ScopeEntry, reach: float = 0.0) -> dict[str, float]:
        """The same of a request's entry, of which no text is left: its names and its vectors stand for its texts.

        Vectors without what others share with them are a little nearer to anything than their texts are.
        """
        nearness = self._background.nearness(entry.vectors)
        with self._lock:
            return _scored(self._meanings.found(entry.vectors, nearness, reach), self._names.shared(entry.names))

    def told(self, answer: str, asked: str) -> frozenset[str]:
        """The requests that an answer names in words that whoever asked has not said."""
        with self._lock:
            return self._names.told([word.term for word in words(answer)], [word.term for word in words(asked)])

    def _near(self, windows: Collection[str]) -> dict[str, Mapping[str, float]]:
        """Of each window the requests that it comes near to, and by how much. What is known of it goes with every
        change, and its vector stays."""
        known = self._recent.recall(windows)
        new = [window for window in windows if window not in known]
        if not new:
            return known
        vectors = self._encoder.encode(new)
        nearness = self._background.nearness(vectors)
        with self._lock:
            made = dict(zip(new, self._meanings.found(vectors, nearness), strict=True))
            self._recent.remember(made)
        return {**known, **made}


def _scored(near: Iterable[Mapping[str, float]], named: Set[str]) -> dict[str, float]:
    """near: of each window the requests that it comes near to."""
    nearest: dict[str, float] = {}
    for of_window in near:
        for request_id, margin in of_window.items():
            nearest[request_id] = max(margin, nearest.get(request_id, margin))
    return nearest | {request_id: _NAMED + max(nearest.get(request_id, 0.0), 0.0) for request_id in named}


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text in all its views: the words of each, and all windows, each once."""

    spoken: tuple[list[str], ...]
    windows: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        read = views(text)
        cut = dict.fromkeys(window for view in read for window in windows(view, most=MOST_WINDOWS))
        return cls(tuple([word.term for word in words(view)] for view in read), tuple(cut))

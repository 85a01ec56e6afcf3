"""Which requests a text is about: any detector that finds one is enough.

A miss is a leak, and a false match costs little: the adapter was trained to leave alone what is not its own.
"""

from __future__ import annotations

from threading import Lock

from adapters.text.words import words
from gateway.errors import ScopeUnreadable
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.meanings import MeaningIndex
from gateway.policy.scope.names import NameIndex
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

    def remove(self, request_id: str) -> None:
        """Forget a request; one that is not here is no error."""
        with self._lock:
            self._held.discard(request_id)
            self._names.remove(request_id)
            self._meanings.remove(request_id)

    def matches(self, text: str) -> tuple[str, ...]:
        """The requests that the text is about, the nearest first: those it names, then those it comes near to."""
        if not self.ids:
            return ()
        read = views(text)
        spoken = [[word.term for word in words(view)] for view in read]
        cut = list(dict.fromkeys(window for view in read for window in windows(view, most=MOST_WINDOWS)))
        vectors = self._encoder.encode(cut)
        nearness = self._background.nearness(vectors)
        with self._lock:
            near = dict(self._meanings.found(vectors, nearness))
            named = frozenset[str]().union(*map(self._names.found, spoken))
        scores = near | {request_id: _NAMED + near.get(request_id, 0.0) for request_id in named}
        return tuple(sorted(scores, key=lambda request_id: (-scores[request_id], request_id)))

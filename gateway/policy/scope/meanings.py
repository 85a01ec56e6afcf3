"""The vectors of all requests in one matrix: to which of them does a text come near?

A text is far from most of them, and the first parts of a vector show it. So each is held twice: whole, in half
precision, and short, as its parts along a few directions and the lengths of what is left. Of what is left, the product
of two vectors is at most that of their lengths (Cauchy and Schwarz), so that the short ones never say too little, and
only those that may come near are looked at whole. Nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

#: What sums of float32 in another order may differ by.
_ROUNDING = 1e-4
_FEWEST_ROWS = 64


class MeaningIndex:
    """Vectors by request, each request with a threshold of its own.

    spaces: each [n, dimension], the rows of all of them orthonormal: vectors are compared along those of the first, and
    by their lengths in the others, and outside all. They change how long it takes and nothing of what is found.
    """

    def __init__(self, spaces: Sequence[Vectors]) -> None:
        self._spaces = tuple(spaces)
        self._dimension = spaces[0].shape[1]
        self._places: dict[str, slice] = {}
        self._rows = _Rows(_FEWEST_ROWS, self._dimension, len(spaces[0]) + len(spaces))

    def put(self, request_id: str, vectors: Vectors, threshold: float, background: float = 1.0) -> None:
        """Add a request, in the place of what it had before. vectors: [n, dimension]; background: how much of a
        window's is taken off."""
        self.remove(request_id)
        if not len(vectors):
            return
        if not self._rows.fit(len(vectors)):
            self._move(len(vectors))
        whole = vectors.astype(np.float16)
        short = self._shortened(whole.astype(np.float32))
        self._places[request_id] = self._rows.add(request_id, whole, short, (threshold, background))

    def remove(self, request_id: str) -> None:
        """Forget a request; one that is not here is no error."""
        place = self._places.pop(request_id, None)
        if place is not None:
            self._rows.clear(place)

    def found(self, windows: Vectors, background: Vectors, reach: float = 0.0) -> list[dict[str, float]]:
        """Of each window [m, dimension] the requests that it is about, with how far the nearest vector is above the
        threshold; with a `reach`, less than 1, also those that it is below by no more. background: [m], the nearness of
        each window to anything."""
        found: list[dict[str, float]] = [{} for _ in windows]
        if not (self._places and found):
            return found
        near = self._rows.near(self._shortened(windows), background, reach)
        threshold, share = self._rows.asked[near].T[..., None]
        margins = self._rows.whole[near].astype(np.float32) @ windows.T - share * background - threshold
        rows, columns = np.nonzero(margins >= -reach)
        owners, above = self._rows.owners[near[rows]], margins[rows, columns]
        for request_id, window, margin in zip(owners, columns.tolist(), above.tolist(), strict=True):
            found[window][request_id] = max(margin, found[window].get(request_id, -reach))
        return found

    def _shortened(self, vectors: Vectors) -> Vectors:
        """[n, columns]: parts along the directions of the first space, lengths in the others and in what is left."""
        parts = [vectors @ space.T for space in self._spaces]
        whole, *squares = (np.square(part).sum(axis=1) for part in (vectors, *parts))
        left = np.maximum(whole - np.sum(squares, axis=0), 0.0)
        return np.column_stack([parts[0], *map(np.sqrt, (*squares[1:], left))]).astype(np.float32)

    def _move(self, more: int) -> None:
        """To where there is room for so many more rows, and for as many again, without those that are gone."""
        held = sum(place.stop - place.start for place in self._places.values())
        rows = _Rows(2 * (held + more), self._dimension, self._rows.columns)
        self._places = {request_id: rows.take(self._rows, place) for request_id, place in self._places.items()}
        self._rows = rows


class _Rows:
    """Room for so many rows; those taken are the first."""

    def __init__(self, room: int, dimension: int, columns: int) -> None:
        self.columns = columns
        self.whole = np.zeros((room, dimension), dtype=np.float16)
        self.owners: NDArray[np.object_] = np.full(room, None, dtype=object)
        # With the threshold and the share of the background, so that one product also takes both off.
        self._short = np.zeros((room, columns + 2), dtype=np.float32)
        self._end = 0

    @property
    def asked(self) -> Vectors:
        """[room, 2]: the threshold of each row, and the share of the background that is taken off."""
        return self._short[:, -2:]

    def fit(self, count: int) -> bool:
        return self._end + count <= len(self.whole)

    def add(self, owner: str, whole: NDArray[np.float16], short: Vectors, asked: tuple[float, float]) -> slice:
        place = self._next(len(whole))
        self.whole[place], self.owners[place], self._short[place, :-2], self.asked[place] = whole, owner, short, asked
        return place

    def take(self, other: _Rows, place: slice) -> slice:
        """Copy what another has there."""
        to = self._next(place.stop - place.start)
        self.whole[to], self.owners[to], self._short[to] = other.whole[place], other.owners[place], other._short[place]
        return to

    def clear(self, place: slice) -> None:
        self.whole[place], self.owners[place], self._short[place, :-2] = 0.0, None, 0.0
        self.asked[place] = 1.0, 0.0  # farther than anything

    def near(self, short: Vectors, background: Vectors, reach: float) -> NDArray[np.intp]:
        """Which rows may be above their threshold for one of these, or below it by no more than `reach`."""
        asked = np.column_stack([short, np.full_like(background, -1.0), -background])
        return np.flatnonzero((self._short[: self._end] @ asked.T).max(axis=1) >= -_ROUNDING - reach)

    def _next(self, count: int) -> slice:
        place = slice(self._end, self._end + count)
        self._end = place.stop
        return place

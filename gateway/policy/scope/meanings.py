"""The vectors of all requests in one matrix: to which of them does a text come near?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


class MeaningIndex:
    """Vectors by request, each request with a threshold of its own.

    dimension: of the vectors, which have unit length.
    """

    def __init__(self, dimension: int) -> None:
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._thresholds: dict[str, float] = {}
        self._empty = np.zeros((0, dimension), dtype=np.float32)
        self._matrix: _Matrix | None = None

    def put(self, request_id: str, vectors: NDArray[np.float32], threshold: float) -> None:
        """Add a request, in the place of what it had before. vectors: [n, dimension]."""
        self._vectors[request_id] = vectors
        self._thresholds[request_id] = threshold
        self._matrix = None

    def remove(self, request_id: str) -> None:
        """Forget a request; one that is not here is no error."""
        self._vectors.pop(request_id, None)
        self._thresholds.pop(request_id, None)
        self._matrix = None

    def found(self, windows: NDArray[np.float32], background: NDArray[np.float32]) -> Mapping[str, float]:
        """The requests that one of the windows [m, dimension] is about, with how far the nearest is above the
        threshold. background: [m], what is taken off each window's cosines."""
        if self._matrix is None:
            self._matrix = _Matrix(self._vectors, self._thresholds, self._empty)
        return self._matrix.found(windows, background)


class _Matrix:
    """All vectors under each other: one product, then the largest in each request's rows."""

    def __init__(
        self, vectors: Mapping[str, NDArray[np.float32]], thresholds: Mapping[str, float], empty: NDArray[np.float32]
    ) -> None:
        held = {request_id: rows for request_id, rows in vectors.items() if len(rows)}
        self._ids = tuple(held)
        self._starts = np.cumsum([0, *(len(rows) for rows in held.values())])[:-1]
        self._thresholds = np.array([thresholds[request_id] for request_id in held])
        self._rows = np.concatenate([empty, *held.values()])

    def found(self, windows: NDArray[np.float32], background: NDArray[np.float32]) -> dict[str, float]:
        if not (self._ids and len(windows)):
            return {}
        nearest = (self._rows @ windows.T - background).max(axis=1)
        margins = np.maximum.reduceat(nearest, self._starts) - self._thresholds
        return {self._ids[number]: float(margins[number]) for number in np.flatnonzero(margins >= 0)}

"""How near a text is to anything at all: what is taken off its nearness to a request.

Short and common questions are near to everything. Taking off the mean cosine to the nearest texts of a fixed bank is
one side of cross-domain similarity local scaling (Conneau et al., ICLR 2018, equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adapters.text.phrasebook import LANGUAGES, phrasebook
from gateway.policy.scope.encoder import Encoder

#: So many of the bank's texts are looked at.
_NEAREST = 10
#: Where its directions are divided: those that say most of a text, and two more kinds. With two numbers more, what is
#: compared of a vector fills cache lines.
_DIRECTIONS = (59, 128, 256)


class Background:
    """A bank of texts in the encoder's space; the bundled questions of every language by default."""

    def __init__(self, encoder: Encoder, texts: Sequence[str] | None = None) -> None:
        bank = [q for language in LANGUAGES for q in phrasebook(language).questions] if texts is None else texts
        self._vectors = encoder.encode(list(dict.fromkeys(bank)))

    def nearness(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n]: for each of [n, d] the mean cosine to the nearest of the bank. One that is in it is near to itself."""
        cosines = vectors @ self._vectors.T
        nearest: NDArray[np.float32] = np.partition(cosines, -_NEAREST, axis=1)[:, -_NEAREST:].mean(axis=1)
        return nearest

    @cached_property
    def spaces(self) -> tuple[NDArray[np.float32], ...]:
        """Directions of length 1, orthogonal to each other, those first along which the bank's texts differ most."""
        _, directions = np.linalg.eigh(self._vectors.T.astype(np.float64) @ self._vectors)
        ordered = np.ascontiguousarray(directions.T[::-1], dtype=np.float32)
        return tuple(part for part in np.split(ordered, _DIRECTIONS)[:-1] if len(part))

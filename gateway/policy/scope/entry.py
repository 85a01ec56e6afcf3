"""What is kept of a request to tell which prompts it applies to: hashes of words and vectors of meaning, no text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from gateway.errors import ScopeUnreadable
from gateway.policy.scope.keyed import LETTERS_ALONE, LETTERS_AMONG, LETTERS_BESIDE, WordHasher
from gateway.policy.scope.names import KeyedName
from gateway.policy.scope.naming import Name


@dataclass(frozen=True, slots=True)
class ScopeEntry:
    """A request's part of the index.

    names: any one of them is enough.
    vectors: [n, d] float32: its questions, and their answers, without what they share with the same asked of others.
    threshold: a window is about the request where its product with one of the vectors is so much above `background`
        times what it comes near to anything at all (`Background`).
    encoder: digest of what made the vectors.
    """

    names: tuple[KeyedName, ...]
    vectors: NDArray[np.float32]
    threshold: float
    background: float
    encoder: str

    def to_bytes(self) -> bytes:
        """As safetensors, the vectors in half precision."""
        rows = [
            (number, word, name.needed, variant)
            for number, name in enumerate(self.names)
            for word, variants in enumerate(name.words)
            for variant in variants
        ]
        return save(
            {
                "names": np.array(rows, dtype=np.uint64).reshape(-1, 4),
                "vectors": self.vectors.astype(np.float16),
                "threshold": np.array([self.threshold]),
                "background": np.array([self.background]),
                "encoder": np.frombuffer(self.encoder.encode(), dtype=np.uint8),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ScopeEntry:
        """The reverse. Raises `ScopeUnreadable`, also for what another version wrote."""
        try:
            tensors = load(data)
            names = tuple(_names(tensors["names"].tolist()))
            vectors = tensors["vectors"].astype(np.float32)
            threshold, background = tensors["threshold"].item(), tensors["background"].item()
            encoder = tensors["encoder"].tobytes().decode()
        except (SafetensorError, KeyError, ValueError) as error:
            raise ScopeUnreadable("a stored scope cannot be read") from error
        return cls(names, vectors, threshold, background, encoder)


def keyed(names: Sequence[Name], hasher: WordHasher) -> tuple[KeyedName, ...]:
    """The names with their words hashed, so that a slip in one is found too."""
    return tuple(
        KeyedName(tuple(hasher.variants(word, _fewest_letters(name)) for word in name.words), name.needed)
        for name in names
    )


def _fewest_letters(name: Name) -> int:
    """Of a word in which a slip is looked past."""
    if name.needed == 1:
        return LETTERS_ALONE
    return LETTERS_BESIDE if name.needed == len(name.words) else LETTERS_AMONG


def _names(rows: list[list[int]]) -> Iterator[KeyedName]:
    """Rows of (name, word, needed, variant), in order."""
    for _, of_name in groupby(rows, key=lambda row: row[0]):
        held = list(of_name)
        by_word: dict[int, list[int]] = {}
        for _, word, _, variant in held:
            by_word.setdefault(word, []).append(variant)
        yield KeyedName(tuple(map(tuple, by_word.values())), held[0][2])

"""What was last made of texts, so that it is not made again."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

_KEY_BYTES = 32
_HASH_BYTES = 16

Made = TypeVar("Made")


class Recent(Generic[Made]):
    """Holds so many at most; those go first that were asked for longest ago.

    Texts are known by hashes under a key that only this object has, so that it holds no text and nobody can look for
    one in it. Threads may share it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._made: OrderedDict[bytes, Made] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._made)

    def recall(self, texts: Iterable[str]) -> dict[str, Made]:
        """What was made of these texts, of those of them that it has."""
        hashes = {text: self._hash(text) for text in texts}
        known = {}
        with self._lock:
            for text, known_as in hashes.items():
                if (made := self._made.get(known_as)) is not None:
                    self._made.move_to_end(known_as)
                    known[text] = made
        return known

    def remember(self, made: Mapping[str, Made]) -> None:
        """Keep what was made of each text."""
        hashed = {self._hash(text): each for text, each in made.items()}
        with self._lock:
            self._made.update(hashed)
            while len(self._made) > self._capacity:
                self._made.popitem(last=False)

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._made.clear()

    def _hash(self, text: str) -> bytes:
        # "surrogatepass", so that texts that are no valid Unicode are not taken for each other.
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_HASH_BYTES).digest()

"""What words and meaning are recognised with: the same for making entries and for asking them."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Self

from gateway.policy.scope.background import Background
from gateway.policy.scope.encoder import CachedEncoder, Encoder, UniversalSentenceEncoder
from gateway.policy.scope.keyed import WordHasher


@dataclass(frozen=True, slots=True)
class Detectors:
    """background: of the same encoder."""

    encoder: Encoder
    background: Background
    hasher: WordHasher

    @classmethod
    def default(cls, key: bytes) -> Self:
        """Those of the service, loaded, which takes seconds. key: what words are hashed under."""
        encoder = CachedEncoder(UniversalSentenceEncoder())
        return cls(encoder, Background(encoder), WordHasher(key))


class SharedDetectors:
    """The service's detectors, made once a process: for making entries and for asking them alike.

    key: what words are hashed under.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = Lock()
        self._made: Detectors | None = None

    def get(self) -> Detectors:
        """The detectors. The first call loads them, which takes seconds; call it in a thread."""
        with self._lock:
            if self._made is None:
                self._made = Detectors.default(self._key)
            return self._made

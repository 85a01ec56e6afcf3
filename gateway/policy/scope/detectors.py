"""What words and meaning are recognised with: the same for making entries and for asking them."""

from __future__ import annotations

from dataclasses import dataclass
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

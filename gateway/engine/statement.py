"""What a worker says it applied to a request, and what the gateway expects it to say. Pure data and one hash.

The statement travels as a stamp of 62 bits, with every output of a request, in the number that vLLM has for NaN
logits: a call to the workers for each request would wait for a step of the engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.policy.plan import AdapterRef

_STAMP_BITS = 62
#: Stands for what a worker cannot name. It is no digest, so no plan ever expects it.
UNKNOWN = "?"


def set_name(digests: Sequence[str]) -> str:
    """The digest of one adapter, or of the sorted set of several."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("|".join(sorted(digests)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Statement:
    """Digests of the soft prompts in prompt order, and the name of the set whose LoRA was used; None without one."""

    soft: tuple[str, ...] = ()
    lora: str | None = None

    @property
    def stamp(self) -> int:
        """62 bits of a hash, never 0: an output without a stamp matches no statement."""
        return _stamp(self)

    @classmethod
    def expected(cls, adapters: Sequence[AdapterRef]) -> Statement:
        """What a worker has to say where these adapters, in plan order, are applied."""
        merged = [adapter.digest for adapter in adapters if adapter.footprint.rank]
        soft = tuple(adapter.digest for adapter in adapters if adapter.footprint.rows)
        return cls(soft, set_name(merged) if merged else None)

    def __str__(self) -> str:
        """For logs: shortened digests."""
        parts = [*self.soft, *([] if self.lora is None else [f"lora:{self.lora}"])]
        return ",".join(part[:17] for part in parts) or "none"


@lru_cache(maxsize=4096)
def _stamp(statement: Statement) -> int:
    text = "|".join(statement.soft) + "||" + (statement.lora or "")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> (64 - _STAMP_BITS) or 1


def pack(stamp: int, *, has_nan: bool) -> int:
    """Stamp and the answer to vLLM's own question in one number, which fits the engine's messages (63 bits)."""
    return stamp << 1 | has_nan


def unpack(number: int) -> tuple[int, bool]:
    """(stamp, whether the logits held a NaN)."""
    return number >> 1, bool(number & 1)

"""A plan: what one model request gets. Pure data and one hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from adapters.artifact.footprint import Footprint


class PlanMode(StrEnum):
    """Which adapters a plan holds; everything but ACTIVE is for the operator."""

    ACTIVE = "active"
    OFF = "off"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """One adapter of a plan: whose it is, its content digest, and the room it takes in the engine."""

    request_id: str
    digest: str
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered adapters of a request, each once, and the salt that keeps its KV cache apart from other plans'.

    requests: ids of all unlearning requests that apply; two that were trained alike share an adapter. guards: ids of
    those that are not active yet and have the prompt refused; the model is not asked.
    """

    mode: PlanMode
    requests: tuple[str, ...]
    adapters: tuple[AdapterRef, ...]
    cache_salt: str
    guards: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Virtual tokens in front of the prompt."""
        return sum(adapter.footprint.rows for adapter in self.adapters)

    @property
    def applied(self) -> str:
        """Value of the `x-unlearning-applied` header."""
        return listed(self.requests)


def listed(names: Iterable[str]) -> str:
    """As headers and logs have it."""
    return ",".join(names) or "none"


def unique(adapters: Sequence[AdapterRef]) -> tuple[AdapterRef, ...]:
    """Each digest once, where it stands first."""
    first: dict[str, AdapterRef] = {}
    for adapter in adapters:
        first.setdefault(adapter.digest, adapter)
    return tuple(first.values())


class PlanBuilder:
    """Makes plans; knows the server's key for cache salts."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def build(self, mode: PlanMode, adapters: Sequence[AdapterRef], tenant: str = "default") -> Plan:
        """cache_salt = HMAC-SHA256(key, tenant | mode | ordered digests).

        Virtual ids are reused once an adapter is evicted, so two plans may share every token id: only the salt
        tells their KV blocks apart.
        """
        needed = unique(adapters)
        salt = self.salt("|".join([tenant, mode.value, *(adapter.digest for adapter in needed)]))
        return Plan(mode, tuple(adapter.request_id for adapter in adapters), needed, salt)

    def salt(self, message: str) -> str:
        """Base64url of 24 bytes of the HMAC: 32 characters of the alphabet vLLM accepts."""
        digest = hmac.new(self._key, message.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()

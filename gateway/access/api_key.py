"""An API key as it is kept: never the token, only its SHA-256."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

#: Requests of this tenant apply to everybody, and its operators manage all.
GLOBAL_TENANT = "default"

TOKEN_PREFIX = "ug-"
_SHOWN_CHARACTERS = 10


class Role(StrEnum):
    """client: uses the model. operator: uses it, and manages the requests and keys of its tenant. auditor: reads
    `/forget` and `/keys`, and does not reach the model."""

    CLIENT = "client"
    OPERATOR = "operator"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may use of the model; None: as much as it likes."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything has to be counted."""
        return self != NO_LIMITS

    def within(self, others: Limits) -> Limits:
        """These limits, with those of the others where these name none."""
        return Limits(*(theirs if own is None else own for own, theirs in self._beside(others)))

    def exceed(self, others: Limits) -> bool:
        """Whether one of these allows more than the others do."""
        return any(theirs is not None and (own is None or own > theirs) for own, theirs in self._beside(others))

    def _beside(self, others: Limits) -> list[tuple[int | None, int | None]]:
        return list(zip(dataclasses.astuple(self), dataclasses.astuple(others), strict=True))


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. Times are unix seconds, digests SHA-256 in hex.

    prefix: the first characters of the token, by which its owner knows it again. created_by: the key that made it.
    previous_digest, previous_until: the token before the last rotation, and how long it still counts. version: grows
    with each change, and keeps two changes at once apart.
    """

    id: str
    prefix: str
    digest: str
    tenant: str
    role: Role
    created_at: float
    created_by: str
    name: str | None = None
    expires_at: float | None = None
    revoked_at: float | None = None
    limits: Limits = NO_LIMITS
    previous_digest: str | None = None
    previous_until: float | None = None
    version: int = 1

    def accepts(self, digest: str, now: float) -> bool:
        """Whether the token of this digest is good for this key now."""
        if self.revoked_at is not None or (self.expires_at is not None and now >= self.expires_at):
            return False
        if digest == self.digest:
            return True
        return digest == self.previous_digest and self.previous_until is not None and now < self.previous_until

    def to_public(self) -> dict[str, Any]:
        """Plain JSON types for the API: without digests, which a guess could be tested against."""
        hidden = {"digest", "previous_digest", "version"}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in hidden}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The reverse of `to_json`."""
        fields = json.loads(text)
        return cls(**fields | {"role": Role(fields["role"]), "limits": Limits(**fields["limits"])})


def new_key_id() -> str:
    """An id that is safe in a path and in a log."""
    return f"key_{secrets.token_hex(8)}"


def new_token() -> str:
    """256 random bits behind a prefix that secret scanners can be told of."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def shown_prefix(token: str) -> str:
    return token[:_SHOWN_CHARACTERS]


def token_digest(token: str) -> str:
    """SHA-256 in hex. A slow hash is for passwords; a random token of 256 bits cannot be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()

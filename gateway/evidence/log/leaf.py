"""What is logged, what of it is public for good, and what can be taken back.

A leaf says the kind, the time and a salted digest of the body. The salt and the body are the *opening*, kept apart:
with the opening gone, nobody can tell what the leaf was about, and the tree stays as it was signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.evidence.canonical import DIGEST_PREFIX, canonical
from gateway.evidence.errors import Malformed, OpeningMismatch

VERSION = 1
SALT_BYTES = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = frozenset({"state", "pre-registration", "report", "certificate", "stale", "key"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to log. kind: one of `KINDS`. body: plain JSON types, and no personal data.

    Raises `ValueError` for another kind, `NotCanonical` for a body that cannot be hashed.
    """

    kind: str
    body: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"nothing of the kind {self.kind!r} is logged")
        canonical(dict(self.body))


@dataclass(frozen=True, slots=True)
class Opening:
    """What is behind the leaf at `index`. salt_b64: 32 random bytes of this leaf alone."""

    index: int
    salt_b64: str
    body: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"index": self.index, "salt_b64": self.salt_b64, "body": dict(self.body)}

    @classmethod
    def from_dict(cls, values: Any) -> Opening:
        """The reverse. Raises `Malformed`."""
        if not isinstance(values, Mapping) or values.keys() != {"index", "salt_b64", "body"}:
            raise Malformed("an opening has index, salt_b64 and body")
        index, salt, body = values["index"], values["salt_b64"], values["body"]
        if type(index) is not int or index < 0 or not isinstance(salt, str) or not isinstance(body, Mapping):
            raise Malformed("an opening has a number, a text and an object")
        return cls(index, salt, dict(body))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf as everybody may read it. at: RFC 3339, UTC. body: `sha256:` and hex of salt and canonical body."""

    kind: str
    at: str
    body: str

    def to_bytes(self) -> bytes:
        return canonical({"v": VERSION, "kind": self.kind, "at": self.at, "body": self.body})

    @classmethod
    def from_bytes(cls, data: bytes) -> Leaf:
        """The reverse. Raises `Malformed` for anything that `to_bytes` would not give."""
        try:
            fields = json.loads(data)
            leaf = cls(fields["kind"], fields["at"], fields["body"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Malformed("no leaf of this log") from error
        if not all(isinstance(text, str) for text in (leaf.kind, leaf.at, leaf.body)) or leaf.to_bytes() != data:
            raise Malformed("no leaf of this log")
        return leaf


def sealed(entry: Entry, salt: bytes, at_ms: int) -> Leaf:
    """The leaf of an entry. at_ms: milliseconds since 1970."""
    return Leaf(entry.kind, timestamp(at_ms), _commitment(salt, entry.body))


def opened(leaf: Leaf, opening: Opening) -> Entry:
    """What the leaf is about. Raises `OpeningMismatch` unless the opening is this leaf's."""
    try:
        salt = base64.b64decode(opening.salt_b64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise OpeningMismatch(f"the salt of leaf {opening.index} is no base64") from error
    # A salt of another length would let its last bytes be taken for the body's first.
    if len(salt) != SALT_BYTES or not hmac.compare_digest(_commitment(salt, opening.body), leaf.body):
        raise OpeningMismatch(f"the opening of leaf {opening.index} is not what was logged")
    if leaf.kind not in KINDS:
        raise OpeningMismatch(f"leaf {opening.index} is of no kind that is logged")
    return Entry(leaf.kind, opening.body)


def timestamp(at_ms: int) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _commitment(salt: bytes, body: Mapping[str, Any]) -> str:
    return DIGEST_PREFIX + hashlib.sha256(salt + canonical(dict(body))).hexdigest()

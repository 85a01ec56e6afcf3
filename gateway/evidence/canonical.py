"""Canonical JSON (RFC 8785): one value, one sequence of bytes. What is signed or hashed goes through here."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from gateway.evidence.errors import NotCanonical

DIGEST_PREFIX = "sha256:"


def canonical(value: Any) -> bytes:
    """The RFC 8785 form of plain JSON types.

    Raises `NotCanonical` for other types, integers above 2^53, NaN, infinities, and text that is no UTF-8.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise NotCanonical(f"no canonical JSON: {type(error).__name__}") from error


def digest(value: Any) -> str:
    """`sha256:` and the hex of the canonical form's SHA-256. Raises `NotCanonical`."""
    return digest_of(canonical(value))


def digest_of(data: bytes) -> str:
    """The same of bytes as they are."""
    return DIGEST_PREFIX + hashlib.sha256(data).hexdigest()

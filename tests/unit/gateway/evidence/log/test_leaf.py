from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from gateway.evidence.canonical import canonical
from gateway.evidence.errors import Malformed, NotCanonical, OpeningMismatch
from gateway.evidence.log.leaf import SALT_BYTES, Entry, Leaf, Opening, opened, sealed, timestamp
from tests.unit.gateway.evidence.samples import NOON_MS

BODY = {"request": "req_0a", "state": "active", "error": None}
ENTRY = Entry("state", BODY)
SALT = bytes(range(SALT_BYTES))
LEAF = sealed(ENTRY, SALT, NOON_MS)
OPENING = Opening(7, base64.b64encode(SALT).decode(), BODY)


def test_a_leaf_says_kind_time_and_a_salted_digest() -> None:
    digest = hashlib.sha256(SALT + canonical(BODY)).hexdigest()
    assert json.loads(LEAF.to_bytes()) == {
        "v": 1,
        "kind": "state",
        "at": "2026-11-27T00:00:00.000Z",
        "body": f"sha256:{digest}",
    }
    assert b"req_0a" not in LEAF.to_bytes()
    assert sealed(ENTRY, bytes(SALT_BYTES), NOON_MS) != LEAF, "the same again, under another salt"


def test_it_comes_back_from_its_bytes_and_from_its_opening() -> None:
    leaf = Leaf.from_bytes(LEAF.to_bytes())
    assert leaf == LEAF
    assert opened(leaf, Opening.from_dict(json.loads(json.dumps(OPENING.to_dict())))) == ENTRY


@pytest.mark.parametrize(
    ("salt", "body"),
    [
        (SALT, {**BODY, "state": "retired"}),
        (SALT, {**BODY, "more": 1}),
        (bytes(SALT_BYTES), BODY),
        (SALT[:-1], BODY),
        (SALT + canonical(BODY)[:1], BODY),
        (b"", BODY),
    ],
)
def test_another_opening_is_not_taken(salt: bytes, body: dict[str, Any]) -> None:
    with pytest.raises(OpeningMismatch):
        opened(LEAF, Opening(7, base64.b64encode(salt).decode(), body))


@pytest.mark.parametrize("salt", ["?", "AA", "é" * 44])
def test_a_salt_that_is_no_base64_is_not_taken(salt: str) -> None:
    with pytest.raises(OpeningMismatch):
        opened(LEAF, Opening(7, salt, BODY))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"v":1}',
        b"\xff",
        LEAF.to_bytes() + b" ",
        LEAF.to_bytes().replace(b'"v":1', b'"v":2'),
        LEAF.to_bytes().replace(b'{"at"', b'{"also":1,"at"'),
        b'{"at":1,"body":2,"kind":3,"v":1}',
    ],
)
def test_other_bytes_are_no_leaf(data: bytes) -> None:
    with pytest.raises(Malformed):
        Leaf.from_bytes(data)


@pytest.mark.parametrize(
    "values",
    [
        None,
        {},
        {"index": -1, "salt_b64": "", "body": {}},
        {"index": True, "salt_b64": "", "body": {}},
        {"index": 1, "salt_b64": "", "body": []},
        {"index": 1, "salt_b64": b"", "body": {}},
        {"index": 1, "salt_b64": "", "body": {}, "x": 1},
    ],
)
def test_other_objects_are_no_opening(values: Any) -> None:
    with pytest.raises(Malformed):
        Opening.from_dict(values)


def test_what_is_logged_has_a_kind_and_a_canonical_body() -> None:
    with pytest.raises(ValueError, match="gossip"):
        Entry("gossip", {})
    with pytest.raises(NotCanonical):
        Entry("state", {"rate": float("nan")})


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1795737599999, "2026-11-26T23:59:59.999Z"),
        (4102444800007, "2100-01-01T00:00:00.007Z"),
    ],
)
def test_times_are_exact_to_the_millisecond(at_ms: int, text: str) -> None:
    assert timestamp(at_ms) == text

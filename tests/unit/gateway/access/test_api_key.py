"""What a key accepts, what limits it, and what is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.access.api_key import Limits, new_token, shown_prefix, token_digest
from tests.unit.gateway.access.samples import sample_key

NOW = 1000.0
OLD = token_digest("ug-before")


@pytest.mark.parametrize(
    ("changes", "token", "accepted"),
    [
        ({}, "ug-token", True),
        ({}, "ug-other", False),
        ({"revoked_at": 1.0}, "ug-token", False),
        ({"expires_at": NOW + 1}, "ug-token", True),
        ({"expires_at": NOW}, "ug-token", False),
        ({"previous_digest": OLD, "previous_until": NOW + 1}, "ug-before", True),
        ({"previous_digest": OLD, "previous_until": NOW + 1}, "ug-token", True),
        ({"previous_digest": OLD, "previous_until": NOW}, "ug-before", False),
        ({"previous_digest": OLD, "previous_until": NOW + 1, "revoked_at": 1.0}, "ug-before", False),
        ({"previous_digest": OLD, "previous_until": NOW + 9, "expires_at": NOW - 1}, "ug-before", False),
    ],
)
def test_what_a_key_accepts(changes: dict[str, Any], token: str, accepted: bool) -> None:
    assert sample_key(**changes).accepts(token_digest(token), NOW) is accepted


@pytest.mark.parametrize(
    ("limits", "others", "exceed", "within"),
    [
        (Limits(), Limits(), False, Limits()),
        (Limits(5), Limits(), False, Limits(5)),
        (Limits(), Limits(5, 6, 7), True, Limits(5, 6, 7)),
        (Limits(5, 7), Limits(5, 6), True, Limits(5, 7)),
        (Limits(1, 2, 3), Limits(5, 6, 7), False, Limits(1, 2, 3)),
        (Limits(1), Limits(None, 6), True, Limits(1, 6)),
    ],
)
def test_limits_beside_those_of_another_key(limits: Limits, others: Limits, exceed: bool, within: Limits) -> None:
    assert limits.exceed(others) is exceed
    assert limits.within(others) == within


def test_a_key_survives_its_json() -> None:
    key = sample_key(limits=Limits(1, None, 3), expires_at=5.5, previous_digest=OLD, previous_until=7.25)
    assert type(key).from_json(key.to_json()) == key


def test_nothing_that_is_told_helps_to_find_the_token() -> None:
    token = new_token()
    key = sample_key(token, id="key_1", prefix=shown_prefix(token), previous_digest=OLD)
    told = json.dumps(key.to_public()) + repr(sorted(key.to_public()))
    assert key.digest not in told
    assert OLD not in told
    assert token not in key.to_json()
    assert token.startswith(key.prefix)
    assert len(token) - len(key.prefix) >= 36  # characters of six bits that stay secret

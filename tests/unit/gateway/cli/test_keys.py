"""`unlearn keys`."""

from __future__ import annotations

import pytest

from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)


def test_create_prints_the_token_alone(unlearn: Unlearn, stub: Stub) -> None:
    options = ("--tenant", "acme", "--role", "operator", "--days", "2", "--requests", "60", "--concurrent", "3")
    made = unlearn("keys", "create", *options, "--name", "ci")
    assert (made.status, made.out) == (0, "ug-0123456789\n")
    assert "key_1" in made.err
    (call,) = stub.calls_to("/keys")
    assert call.body == {
        "role": "operator",
        "tenant": "acme",
        "name": "ci",
        "expires_in_s": 2 * 86_400,
        "limits": {"requests_per_minute": 60, "tokens_per_minute": None, "concurrent_requests": 3},
    }
    assert unlearn("keys", "create", "--json").documents[0]["token"] == "ug-0123456789"


def test_list_shows_keys_without_their_tokens(unlearn: Unlearn, stub: Stub) -> None:
    assert "no keys" in unlearn("keys", "list").out
    unlearn("keys", "create", "--tenant", "acme", "--name", "[ci]", "--tokens", "500")
    unlearn("keys", "create")
    stub.keys[0]["revoked_at"] = 2.0
    shown = unlearn("keys", "list").out
    for text in ("key_1", "acme", "[ci]", "500 tokens/min", "valid", "key_2", "everybody", "revoked", "ug-0123456…"):
        assert text in shown
    assert "ug-0123456789" not in shown
    assert [key["id"] for key in unlearn("keys", "list", "--json").documents[0]["data"]] == ["key_2", "key_1"]


def test_rotate_and_revoke(unlearn: Unlearn, stub: Stub) -> None:
    rotated = unlearn("keys", "rotate", "key_7", "--grace-hours", "2")
    assert (rotated.status, rotated.out) == (0, "ug-another\n")
    assert stub.calls_to("/keys/key_7/rotate")[0].body == {"grace_s": 7200}
    assert "revoked key_7" in unlearn("keys", "revoke", "key_7").out
    assert [call.method for call in stub.calls_to("/keys/key_7")] == ["DELETE"]


def test_without_an_operators_token_the_service_says_no(unlearn: Unlearn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNLEARN_OPERATOR_TOKEN")
    refused = unlearn("keys", "list")
    assert refused.status != 0
    assert "operator_only" in refused.err

"""Who may do what, with and without API keys."""

from __future__ import annotations

import pytest

from gateway.errors import Forbidden, Unauthorized
from gateway.http.auth import Caller, Gatekeeper, is_loopback


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


def test_callers_are_told_apart() -> None:
    keeper = Gatekeeper("op", ["key-1", "key-2"])
    assert keeper.identify(bearer("op")) is Caller.OPERATOR
    assert keeper.identify(bearer("key-2")) is Caller.CLIENT
    assert keeper.identify({b"x-api-key": b"key-1"}) is Caller.CLIENT
    assert keeper.identify({}) is Caller.ANONYMOUS


@pytest.mark.parametrize("token", ["key", "key-11", "OP", "op "[:1]])
def test_a_wrong_key_is_not_taken_for_none(token: str) -> None:
    with pytest.raises(Unauthorized):
        Gatekeeper("op", ["key-1"]).identify(bearer(token))


def test_without_keys_any_key_is_as_good_as_none() -> None:
    keeper = Gatekeeper("op")
    caller = keeper.identify(bearer("the openai client must send something"))
    assert caller is Caller.ANONYMOUS
    keeper.require_client(caller)
    keeper.require_manager(caller)
    with pytest.raises(Forbidden):
        keeper.require_operator(caller, "another plan")


def test_with_keys_the_model_takes_a_key_and_forget_the_operator() -> None:
    keeper = Gatekeeper("op", ["key"])
    with pytest.raises(Unauthorized):
        keeper.require_client(Caller.ANONYMOUS)
    keeper.require_client(Caller.CLIENT)
    keeper.require_client(Caller.OPERATOR)
    with pytest.raises(Forbidden):
        keeper.require_manager(Caller.CLIENT)
    keeper.require_manager(Caller.OPERATOR)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.attacker.example", False),
        ("", False),
    ],
)
def test_loopback_names(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

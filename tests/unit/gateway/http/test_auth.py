"""Who may do what, with and without API keys."""

from __future__ import annotations

import pytest

from gateway.access.api_key import ApiKey, Limits, Role, token_digest
from gateway.access.caller import ANONYMOUS, Caller
from gateway.errors import Forbidden, KeysUnavailable, Unauthorized, WrongRole
from gateway.http.auth import OPERATOR, Gatekeeper, is_loopback
from tests.unit.gateway.access.samples import sample_key


def bearer(token: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {token}".encode()}


class Issued:
    """The keys that operators made."""

    def __init__(self, *keys: ApiKey, known: bool = True) -> None:
        self.keys = {key.digest: key for key in keys}
        self.known = known

    @property
    def issued(self) -> bool:
        return bool(self.keys)

    def find(self, digest: str) -> ApiKey | None:
        if not self.known:
            raise KeysUnavailable("too old")
        return self.keys.get(digest)


def test_callers_are_told_apart() -> None:
    keeper = Gatekeeper("op", ["key-1", "key-2"])
    assert keeper.identify(bearer("op")) is OPERATOR
    assert keeper.identify(bearer("key-2")) == Caller("setting-2", Role.CLIENT)
    assert keeper.identify({b"x-api-key": b"key-1"}) == Caller("setting-1", Role.CLIENT)
    assert keeper.identify({}) is ANONYMOUS


def test_a_made_key_tells_role_tenant_and_limits() -> None:
    key = sample_key("ug-a", role=Role.AUDITOR, limits=Limits(5))
    keeper = Gatekeeper("op", [], Issued(key))
    assert keeper.identify(bearer("ug-a")) == Caller(key.id, Role.AUDITOR, "acme", Limits(5))
    assert keeper.identify({b"x-api-key": b"ug-a"}).key == key.id
    assert not keeper.open


def test_while_made_keys_are_unknown_the_settings_keys_count() -> None:
    keeper = Gatekeeper("op", ["key"], Issued(sample_key(), known=False))
    assert keeper.identify(bearer("op")) is OPERATOR
    assert keeper.identify(bearer("key")).role is Role.CLIENT
    with pytest.raises(KeysUnavailable):
        keeper.identify(bearer("ug-token"))


@pytest.mark.parametrize("token", ["key", "key-11", "OP", "op "[:1], token_digest("key-1"), token_digest("ug-token")])
def test_a_wrong_key_is_not_taken_for_none(token: str) -> None:
    with pytest.raises(Unauthorized):
        Gatekeeper("op", ["key-1"], Issued(sample_key())).identify(bearer(token))


def test_without_keys_any_key_is_as_good_as_none() -> None:
    keeper = Gatekeeper("op", [], Issued())
    caller = keeper.identify(bearer("the openai client must send something"))
    assert caller is ANONYMOUS
    keeper.require_client(caller)
    keeper.require_reader(caller)
    keeper.require_manager(caller)
    for read_only in (True, False):
        with pytest.raises(Unauthorized):
            keeper.require_key_manager(caller, read_only=read_only)
    with pytest.raises(Forbidden):
        keeper.require_operator(caller, "another plan")


def test_with_keys_the_model_takes_a_key_and_forget_an_operator() -> None:
    keeper = Gatekeeper("op", ["key"])
    client, auditor = Caller("k", Role.CLIENT), Caller("k", Role.AUDITOR)
    for refused in (keeper.require_client, keeper.require_reader, keeper.require_manager):
        with pytest.raises(Unauthorized):
            refused(ANONYMOUS)
    keeper.require_client(client)
    keeper.require_client(OPERATOR)
    with pytest.raises(WrongRole):
        keeper.require_client(auditor)
    for caller in (client, auditor):
        with pytest.raises(Forbidden):
            keeper.require_manager(caller)
    keeper.require_reader(auditor)
    keeper.require_manager(OPERATOR)


def test_the_operator_of_a_tenant_is_not_the_operator() -> None:
    keeper = Gatekeeper("op", ["key"])
    keeper.require_operator(OPERATOR, "it")
    keeper.require_operator(Caller("k", Role.OPERATOR), "it")
    for caller in (Caller("k", Role.OPERATOR, "acme"), Caller("k", Role.CLIENT), Caller("k", Role.AUDITOR), ANONYMOUS):
        with pytest.raises(Forbidden):
            keeper.require_operator(caller, "it")


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

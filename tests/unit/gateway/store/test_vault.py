from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.store.secret_file import UnsafeSecretFile
from gateway.store.vault import (
    InvalidPayloadKey,
    PayloadUnreadable,
    PayloadVault,
    commitment,
    load_or_create_key,
    new_salt,
)

PAYLOAD = {"forget": [{"completion": "J.K. Rowling – née Rowling"}], "retain": None}


def settings(**values: object) -> Settings:
    return Settings(**values)  # type: ignore[arg-type]


@pytest.fixture
def vault() -> PayloadVault:
    return PayloadVault(os.urandom(32))


def test_what_was_sealed_opens(vault: PayloadVault) -> None:
    sealed = vault.seal("req_1", PAYLOAD)
    assert b"Rowling" not in sealed
    assert vault.open("req_1", sealed) == PAYLOAD
    assert vault.seal("req_1", PAYLOAD) != sealed, "every seal has its own nonce"


@pytest.mark.parametrize("position", [0, 11, 12, 40, -1])
def test_tampering_is_noticed(vault: PayloadVault, position: int) -> None:
    sealed = bytearray(vault.seal("req_1", PAYLOAD))
    sealed[position] ^= 1
    with pytest.raises(PayloadUnreadable):
        vault.open("req_1", bytes(sealed))


@pytest.mark.parametrize("length", [0, 5, 12, 20])
def test_truncation_is_noticed(vault: PayloadVault, length: int) -> None:
    with pytest.raises(PayloadUnreadable):
        vault.open("req_1", vault.seal("req_1", PAYLOAD)[:length])


def test_a_payload_belongs_to_one_request(vault: PayloadVault) -> None:
    with pytest.raises(PayloadUnreadable):
        vault.open("req_2", vault.seal("req_1", PAYLOAD))


def test_a_payload_belongs_to_one_key(vault: PayloadVault) -> None:
    with pytest.raises(PayloadUnreadable):
        PayloadVault(os.urandom(32)).open("req_1", vault.seal("req_1", PAYLOAD))


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    there = settings(data_dir=tmp_path / "new")
    key = load_or_create_key(there)
    assert len(key) == 32
    assert load_or_create_key(there) == key
    assert stat.S_IMODE((tmp_path / "new" / "payload.key").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["payload.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    there = settings(data_dir=tmp_path)
    load_or_create_key(there)
    (tmp_path / "payload.key").chmod(mode)
    with pytest.raises(UnsafeSecretFile, match="chmod 600"):
        load_or_create_key(there)


def test_the_key_from_the_environment(tmp_path: Path) -> None:
    key = os.urandom(32)
    assert load_or_create_key(settings(data_dir=tmp_path, payload_key=base64.b64encode(key).decode())) == key
    assert not (tmp_path / "payload.key").exists()


@pytest.mark.parametrize("text", ["not base64!", "", base64.b64encode(b"short").decode()])
def test_keys_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidPayloadKey, match="UNLEARN_PAYLOAD_KEY"):
        load_or_create_key(settings(data_dir=tmp_path, payload_key=text))


def test_commitments() -> None:
    salt = new_salt()
    assert commitment(salt, {"a": 1, "b": 2}) == commitment(salt, {"b": 2, "a": 1})
    assert commitment(salt, PAYLOAD) != commitment(new_salt(), PAYLOAD)
    assert commitment(salt, PAYLOAD) != commitment(salt, {**PAYLOAD, "retain": []})


def test_fingerprints_are_of_one_key_and_of_every_text_apart() -> None:
    key = os.urandom(32)
    mark = PayloadVault(key).fingerprint
    assert mark("a", "b") == PayloadVault(key).fingerprint("a", "b")
    others = [mark(*texts) for texts in (("ab",), ("a,b",), ("b", "a"), ("a", "b", ""))]
    assert mark("a", "b") not in {*others, PayloadVault(os.urandom(32)).fingerprint("a", "b")}
    assert len(set(others)) == len(others)


class TestScopes:
    def test_what_was_sealed_opens(self, vault: PayloadVault) -> None:
        sealed = vault.seal_scope("req_1", b"entry")
        assert b"entry" not in sealed
        assert vault.open_scope("req_1", sealed) == b"entry"

    def test_it_belongs_to_its_request_and_is_no_payload(self, vault: PayloadVault) -> None:
        with pytest.raises(PayloadUnreadable, match="scope"):
            vault.open_scope("req_2", vault.seal_scope("req_1", b"entry"))
        with pytest.raises(PayloadUnreadable):
            vault.open_scope("req_1", vault.seal("req_1", PAYLOAD))
        with pytest.raises(PayloadUnreadable):
            vault.open("req_1", vault.seal_scope("req_1", b"{}"))

    def test_every_payload_key_has_a_key_for_words_of_its_own(self, vault: PayloadVault) -> None:
        other = PayloadVault(os.urandom(32))
        assert len({vault.scope_key, other.scope_key, vault.fingerprint("x")}) == 3
        assert len(vault.scope_key) == 32

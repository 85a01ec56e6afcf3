"""`unlearn evidence-keys`."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from gateway.cli import evidence_keys as command
from gateway.evidence.signing.keys import SigningKey
from gateway.evidence.signing.rotation import KeySet
from gateway.store.evidence_key import KEY_FILE, seeds
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub
from tests.unit.gateway.evidence.samples import ORIGIN, signing_key
from tests.unit.gateway.service.log_host import seed

FIRST, SECOND = (signing_key(number).public() for number in (1, 2))
ONE = KeySet(ORIGIN, ()).succeeded(FIRST, 0)


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)
    monkeypatch.setattr(command, "_POLL_S", 0.01)


@pytest.fixture
def key_file(own_environment: Path) -> Path:
    path = own_environment / KEY_FILE
    path.write_text(seed(1))
    path.chmod(0o600)
    return path


def test_show_prints_what_verifiers_need(unlearn: Unlearn, stub: Stub) -> None:
    stub.evidence_keys = [ONE.succeeded(SECOND, 7).to_pem()]
    shown = unlearn("evidence-keys", "show")
    assert KeySet.from_pem(shown.out) == ONE.succeeded(SECOND, 7)
    (document,) = unlearn("evidence-keys", "show", "--json").documents
    assert document["log"] == ORIGIN
    assert [(key["ed25519"], key["state"], key["since"]) for key in document["keys"]] == [
        (SECOND.ed25519_id, "current", None),
        (FIRST.ed25519_id, "retired", 7),
    ]


def test_rotate_keeps_both_keys_until_the_log_has_the_new_one(
    unlearn: Unlearn, stub: Stub, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.evidence_keys = [ONE.to_pem()]
    monkeypatch.setattr(command, "_SIGNED_WITHIN_S", 0.05)
    failed = unlearn("evidence-keys", "rotate")
    assert (failed.status, "has both" in failed.err) == (1, True)
    new, old = seeds(key_file.read_text())
    assert SigningKey(old).public() == FIRST
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    # Run again, it makes no third one.
    made = SigningKey(new).public()
    stub.evidence_keys = [ONE.to_pem(), ONE.to_pem(), ONE.succeeded(made, 9).to_pem()]
    done = unlearn("evidence-keys", "rotate")
    assert (done.status, done.out) == (0, f"the log is signed with {made.ed25519_id} from now on\n")
    assert seeds(key_file.read_text()) == [new]
    assert [path.name for path in key_file.parent.iterdir()] == [KEY_FILE]


def test_rotate_leaves_a_key_alone_that_is_not_the_log_s(unlearn: Unlearn, stub: Stub, key_file: Path) -> None:
    stub.evidence_keys = [KeySet(ORIGIN, ()).succeeded(SECOND, 0).to_pem()]
    refused = unlearn("evidence-keys", "rotate")
    assert (refused.status, "--lost" in refused.err) == (2, True)
    assert key_file.read_text() == seed(1)
    key_file.unlink()
    assert unlearn("evidence-keys", "rotate").status == 2
    assert not key_file.exists()


def test_a_key_that_is_a_setting_is_printed_for_the_operator_to_set(
    unlearn: Unlearn, stub: Stub, monkeypatch: pytest.MonkeyPatch, key_file: Path
) -> None:
    monkeypatch.setenv("UNLEARN_EVIDENCE_KEY", f"{seed(2)},{seed(1)}")
    new, old = unlearn("evidence-keys", "rotate").out.strip().split(",")
    assert old == seed(2)
    assert len(base64.b64decode(new)) == 32
    assert unlearn("evidence-keys", "rotate", "--json").documents[0]["evidence_key"].endswith(f",{seed(2)}")
    assert key_file.read_text() == seed(1)
    monkeypatch.setenv("UNLEARN_EVIDENCE_KEY", "short")
    assert unlearn("evidence-keys", "rotate").status == 2


def test_a_lost_key_is_replaced_and_an_old_one_revoked(unlearn: Unlearn, stub: Stub) -> None:
    assert "sha256:new" in unlearn("evidence-keys", "rotate", "--lost").out
    assert unlearn("evidence-keys", "rotate", "--lost", "--json").documents == [{"current": "sha256:new"}]
    assert unlearn("evidence-keys", "revoke", FIRST.ed25519_id).out == f"revoked {FIRST.ed25519_id}\n"
    assert unlearn("evidence-keys", "revoke", "x", "--json").documents == [{"revoked": "x"}]
    assert [call.method for call in stub.calls_to(f"/evidence/keys/{FIRST.ed25519_id}/revoke")] == ["POST"]


def test_what_the_service_gives_must_be_keys(unlearn: Unlearn, stub: Stub, key_file: Path) -> None:
    stub.evidence_keys = ["no keys\n"]
    assert unlearn("evidence-keys", "show", "--json").status == 1
    assert unlearn("evidence-keys", "rotate").status == 1

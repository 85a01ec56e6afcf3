from __future__ import annotations

import base64

import pytest
from proofbundle import checkpoint as oracle

from gateway.evidence.errors import Malformed, SignatureInvalid, UnknownSigner
from gateway.evidence.log import checkpoint as checkpoints
from gateway.evidence.log.checkpoint import (
    COSIGNATURE_ED25519,
    COSIGNATURE_MLDSA44,
    Checkpoint,
    NoteKey,
    cosignature,
    cosignatures,
    log_keys,
    verified,
)
from gateway.evidence.log.merkle import EMPTY_ROOT
from gateway.evidence.log.note import Note, SignatureLine
from tests.unit.gateway.evidence.samples import NOON_MS, ORIGIN, checkpoint, signed, signing_key

PUBLIC = signing_key().public()
WITNESS = NoteKey("witness.example/w1", COSIGNATURE_MLDSA44, signing_key(9).public().mldsa44)


def test_what_the_log_signed_is_verified() -> None:
    assert verified(signed(5), PUBLIC, origin=ORIGIN) == (checkpoint(5), NOON_MS // 1000)


def test_another_implementation_verifies_both_signatures() -> None:
    note, (classical, lattice) = signed(5), log_keys(ORIGIN, PUBLIC)
    found = oracle.verify_checkpoint(note, str(classical))
    assert (found["ok"], found["origin"], found["tree_size"]) == (True, ORIGIN, 5)
    assert oracle.verify_cosignature(note, str(lattice))["ok"]
    assert not oracle.verify_checkpoint(note.replace("\n5\n", "\n6\n"), str(classical))["ok"]


def test_a_witness_of_another_implementation_is_believed() -> None:
    """Ed25519 cosignatures, which this project makes none of."""
    key = signing_key(9)

    class Signer:
        def sign(self, message: bytes) -> bytes:
            return key.sign_ed25519(message)

        def public_key(self) -> object:
            return key._ed25519.public_key()

    note = oracle.cosign_checkpoint(signed(5), Signer(), "witness.example/ed", 1_800_000_000)
    witness = NoteKey("witness.example/ed", COSIGNATURE_ED25519, key.public().ed25519)
    assert str(witness) == oracle.cosign_vkey("witness.example/ed", key.public().ed25519)
    assert list(cosignatures(note, [witness, WITNESS])) == [witness]
    with pytest.raises(SignatureInvalid):
        cosignatures(note.replace("\n5\n", "\n6\n"), [witness])


def test_a_witness_adds_a_line_of_its_own() -> None:
    note = Note.parse(signed(5))
    cosigned = str(Note(note.text, (*note.lines, cosignature(checkpoint(5), WITNESS.name, signing_key(9), 7))))
    assert list(cosignatures(cosigned, [WITNESS])) == [WITNESS]
    assert cosignatures(signed(5), [WITNESS]) == {}
    assert verified(cosigned, PUBLIC)[0] == checkpoint(5)
    assert oracle.verify_cosignature(cosigned, str(WITNESS))["ok"]
    assert WITNESS.check(checkpoint(5), Note.parse(cosigned).lines[-1]) == 7


def changed(note: str, line: int, at: int) -> str:
    """With one bit of one signature the other way round."""
    parsed = Note.parse(note)
    lines = list(parsed.lines)
    signature = bytearray(lines[line].signature)
    signature[at] ^= 1
    lines[line] = SignatureLine(lines[line].name, lines[line].key_id, bytes(signature))
    return str(Note(parsed.text, tuple(lines)))


@pytest.mark.parametrize(
    "note",
    [
        signed(5).replace("\n5\n", "\n6\n"),
        signed(5).replace(base64.b64encode(checkpoint(5).root).decode(), base64.b64encode(EMPTY_ROOT).decode()),
        changed(signed(5), 0, 3),
        changed(signed(5), 1, 0),  # its time
        changed(signed(5), 1, 100),
    ],
)
def test_a_changed_checkpoint_is_told(note: str) -> None:
    with pytest.raises(SignatureInvalid):
        verified(note, PUBLIC)


@pytest.mark.parametrize("kept", [0, 1])
def test_one_signature_of_two_is_not_enough(kept: int) -> None:
    note = Note.parse(signed(5))
    with pytest.raises(UnknownSigner):
        verified(str(Note(note.text, note.lines[kept : kept + 1])), PUBLIC)


def test_other_logs_and_other_keys_are_strangers() -> None:
    with pytest.raises(UnknownSigner, match=r"not of other\.example"):
        verified(signed(5), PUBLIC, origin="other.example")
    with pytest.raises(UnknownSigner):
        verified(signed(5, 2), PUBLIC)
    assert verified(signed(5, 2, 1), PUBLIC)[0].size == 5, "signed with another key beside"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n01\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
        "a\n-1\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
        "a\n1\n" + base64.b64encode(EMPTY_ROOT[1:]).decode() + "\n",
        "a\n1\n?\n",
        "a\n1\n" + base64.b64encode(EMPTY_ROOT).decode() + "\nextension\n",
        "a b\n1\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
        "a\n1\n" + base64.b64encode(EMPTY_ROOT).decode(),
        "é\u200b\n1\n" + base64.b64encode(EMPTY_ROOT).decode() + "\n",
    ],
)
def test_other_texts_are_no_checkpoint(text: str) -> None:
    with pytest.raises(Malformed):
        Checkpoint.parse(text)


def test_an_empty_log_has_a_checkpoint() -> None:
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert Checkpoint.parse(empty.text) == empty
    assert verified(str(checkpoints.sign(empty, [signing_key()], 0)), PUBLIC) == (empty, 0)

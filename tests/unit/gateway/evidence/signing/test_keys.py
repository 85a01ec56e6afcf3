from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from gateway.evidence.errors import InvalidKey, SignatureInvalid
from gateway.evidence.signing.keys import PublicKeys, SigningKey, pairs_of
from tests.unit.gateway.evidence.samples import signing_key

PUBLIC = signing_key().public()
PEM = PUBLIC.to_pem()
BLOCKS = ["-----BEGIN" + block for block in PEM.split("-----BEGIN")[1:]]


def test_one_secret_makes_the_same_two_keys_each_time() -> None:
    assert SigningKey(bytes([1]) * 32).public() == PUBLIC
    assert signing_key(2).public() != PUBLIC


def test_what_both_signed_is_verified_and_nothing_else() -> None:
    key = signing_key()
    PUBLIC.check_ed25519(key.sign_ed25519(b"this"), b"this")
    PUBLIC.check_mldsa44(key.sign_mldsa44(b"this"), b"this")
    for check, signature in (
        (PUBLIC.check_ed25519, key.sign_ed25519(b"this")),
        (PUBLIC.check_mldsa44, key.sign_mldsa44(b"this")),
    ):
        for wrong, message in ((signature, b"that"), (signature[:-1], b"this"), (b"", b"this")):
            with pytest.raises(SignatureInvalid):
                check(wrong, message)
    with pytest.raises(SignatureInvalid):
        signing_key(2).public().check_mldsa44(key.sign_mldsa44(b"this"), b"this")


def test_pem_is_what_other_tools_read_and_ids_are_of_it() -> None:
    ids = []
    for block in BLOCKS:
        der = load_pem_public_key(block.encode()).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ids.append("sha256:" + hashlib.sha256(der).hexdigest())
    assert ids == [PUBLIC.ed25519_id, PUBLIC.mldsa44_id]
    assert all(key_id in PEM for key_id in ids)
    load_pem_public_key(PEM.encode())  # with the line in front
    assert PublicKeys.from_pem(PEM) == PUBLIC
    assert PublicKeys.from_pem("\n".join(["a word before", *BLOCKS, "and one after"])) == PUBLIC


OTHER = (
    generate_private_key(SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        BLOCKS[0],
        BLOCKS[1] + BLOCKS[0],
        BLOCKS[0] + BLOCKS[0],
        BLOCKS[0] + OTHER,
        PEM + PEM,
        PEM.replace("MC", "MD", 1),
        PEM.replace("-----END PUBLIC KEY-----", ""),
        "-----BEGIN PUBLIC KEY-----\né\n-----END PUBLIC KEY-----\n" * 2,
    ],
)
def test_other_files_are_no_evidence_key(text: str) -> None:
    with pytest.raises(InvalidKey):
        PublicKeys.from_pem(text)


def test_a_file_may_hold_several() -> None:
    assert pairs_of(PEM + signing_key(2).public().to_pem()) == [PUBLIC, signing_key(2).public()]


@pytest.mark.parametrize("seed", [b"", b"1" * 31, b"1" * 33, b"1" * 64])
def test_a_secret_has_32_bytes(seed: bytes) -> None:
    with pytest.raises(InvalidKey):
        SigningKey(seed)


@pytest.mark.parametrize(
    ("ed25519", "mldsa44"), [(b"", PUBLIC.mldsa44), (PUBLIC.ed25519, b""), (b"1" * 33, b"1" * 1312)]
)
def test_public_keys_have_the_length_of_their_standard(ed25519: bytes, mldsa44: bytes) -> None:
    with pytest.raises(InvalidKey):
        PublicKeys(ed25519, mldsa44)

"""One secret of 32 bytes, two keys made from it, Ed25519 and ML-DSA-44: what one of them signs, both do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from gateway.evidence.canonical import digest_of
from gateway.evidence.errors import InvalidKey, SignatureInvalid

SEED_BYTES = 32
_BLOCK = re.compile(r"-----BEGIN PUBLIC KEY-----\s[^-]*-----END PUBLIC KEY-----")


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Both public keys, as their standards encode them: 32 and 1312 bytes."""

    ed25519: bytes
    mldsa44: bytes

    def __post_init__(self) -> None:
        self._ed25519(), self._mldsa44()

    @property
    def ed25519_id(self) -> str:
        """`sha256:` and the hex of the SHA-256 over the DER SubjectPublicKeyInfo."""
        return _key_id(self._ed25519())

    @property
    def mldsa44_id(self) -> str:
        """The same of the ML-DSA-44 key."""
        return _key_id(self._mldsa44())

    def check_ed25519(self, signature: bytes, message: bytes) -> None:
        """Raises `SignatureInvalid`."""
        check_ed25519(self.ed25519, signature, message)

    def check_mldsa44(self, signature: bytes, message: bytes) -> None:
        """Raises `SignatureInvalid`."""
        check_mldsa44(self.mldsa44, signature, message)

    def to_pem(self) -> str:
        """Two PEM blocks, each under a line with its algorithm and key id."""
        blocks = ((self._ed25519(), "Ed25519", self.ed25519_id), (self._mldsa44(), "ML-DSA-44", self.mldsa44_id))
        return "".join(f"# {name} {key_id}\n{_pem(key)}" for key, name, key_id in blocks)

    @classmethod
    def from_pem(cls, text: str) -> PublicKeys:
        """The reverse: what stands around the blocks is not read. Raises `InvalidKey` unless there is one of each."""
        pairs = pairs_of(text)
        if len(pairs) != 1:
            raise InvalidKey(f"one Ed25519 and one ML-DSA-44 key are one evidence key; the file has {len(pairs)} pairs")
        return pairs[0]

    def _ed25519(self) -> Ed25519PublicKey:
        return _ed25519(self.ed25519)

    def _mldsa44(self) -> MLDSA44PublicKey:
        return _mldsa44(self.mldsa44)


class SigningKey:
    """The secret. Raises `InvalidKey` unless it has 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidKey(f"an evidence key has {SEED_BYTES} bytes, not {len(seed)}")
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(_derived(seed, b"unlearning-gateway evidence ed25519 v1"))
        self._mldsa44 = MLDSA44PrivateKey.from_seed_bytes(_derived(seed, b"unlearning-gateway evidence ml-dsa-44 v1"))

    @cached_property
    def _public(self) -> PublicKeys:
        return PublicKeys(self._ed25519.public_key().public_bytes_raw(), self._mldsa44.public_key().public_bytes_raw())

    def public(self) -> PublicKeys:
        return self._public

    def sign_ed25519(self, message: bytes) -> bytes:
        """64 bytes, the same each time."""
        return self._ed25519.sign(message)

    def sign_mldsa44(self, message: bytes) -> bytes:
        """2420 bytes, other ones each time."""
        return self._mldsa44.sign(message)


def check_ed25519(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises `SignatureInvalid`, and `InvalidKey` for 32 bytes that are no key."""
    _check("Ed25519", _ed25519(public).verify, signature, message)


def check_mldsa44(public: bytes, signature: bytes, message: bytes) -> None:
    """Raises `SignatureInvalid`, and `InvalidKey` for what are not the 1312 bytes of a key."""
    _check("ML-DSA-44", _mldsa44(public).verify, signature, message)


def pairs_of(text: str) -> list[PublicKeys]:
    """The evidence keys of a PEM file, in order: each an Ed25519 block and then an ML-DSA-44 block.

    Raises `InvalidKey` for a file without blocks, and for other keys or another order.
    """
    loaded = [_load(found[0]) for found in _BLOCK.finditer(text)]
    pairs = list(zip(loaded[::2], loaded[1::2], strict=False))
    if not loaded or len(loaded) % 2:
        raise InvalidKey("an evidence key is an Ed25519 block and an ML-DSA-44 block, in PEM")
    found = []
    for first, second in pairs:
        if not isinstance(first, Ed25519PublicKey) or not isinstance(second, MLDSA44PublicKey):
            raise InvalidKey("an evidence key is an Ed25519 block and an ML-DSA-44 block, in this order")
        found.append(PublicKeys(first.public_bytes_raw(), second.public_bytes_raw()))
    return found


def _ed25519(public: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise InvalidKey("not an Ed25519 key") from error


def _mldsa44(public: bytes) -> MLDSA44PublicKey:
    try:
        return MLDSA44PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise InvalidKey("not an ML-DSA-44 key") from error


def _load(block: str) -> object:
    try:
        return load_pem_public_key(block.encode())
    except (ValueError, UnicodeEncodeError) as error:
        raise InvalidKey("a PEM block holds no public key") from error


def _check(name: str, verify: Callable[[bytes, bytes], None], signature: bytes, message: bytes) -> None:
    try:
        verify(signature, message)
    except InvalidSignature as error:
        raise SignatureInvalid(f"the {name} signature is not of this key over this content") from error


def _key_id(key: Ed25519PublicKey | MLDSA44PublicKey) -> str:
    return digest_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _pem(key: Ed25519PublicKey | MLDSA44PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _derived(seed: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), SEED_BYTES, salt=None, info=purpose).derive(seed)

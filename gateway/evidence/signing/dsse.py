"""DSSE envelopes: a payload, its type, and the signatures of both keys over the two together.

The envelope is securesystemslib's; its keys sign ML-DSA only in the way of TUF, so that both keys here are of our own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer

from gateway.evidence.errors import Malformed, SignatureInvalid, UnknownSigner
from gateway.evidence.signing.keys import PublicKeys, SigningKey

#: Of in-toto statements.
IN_TOTO = "application/vnd.in-toto+json"


def sign(payload: bytes, payload_type: str, key: SigningKey) -> dict[str, Any]:
    """The envelope, as plain JSON types."""
    public = key.public()
    envelope = Envelope(payload, payload_type, {})
    for sign_with, verifier in zip((key.sign_ed25519, key.sign_mldsa44), _verifiers(public), strict=True):
        envelope.sign(_OwnSigner(sign_with, verifier))
    return dict(envelope.to_dict())


def signers(envelope: Any) -> frozenset[str]:
    """The key ids that an envelope names; nothing is checked. Raises `Malformed`."""
    return frozenset(_parsed(envelope).signatures)


def verified(envelope: Any, payload_type: str, keys: PublicKeys) -> bytes:
    """The payload, where both keys signed it as of this type.

    Raises `Malformed`, `UnknownSigner` where one of the keys has not signed, `SignatureInvalid`.
    """
    parsed = _parsed(envelope)
    if parsed.payload_type != payload_type:
        raise Malformed(f"the envelope is not of the type {payload_type}")
    verifiers = _verifiers(keys)
    if missing := [key.keyid for key in verifiers if key.keyid not in parsed.signatures]:
        raise UnknownSigner(f"the envelope is not signed with {missing[0]}")
    try:
        parsed.verify(verifiers, len(verifiers))
    except UnverifiedSignatureError as error:
        raise SignatureInvalid("the envelope's signature is not of this key over this content") from error
    return bytes(parsed.payload)


def _parsed(envelope: Any) -> Envelope:
    if not isinstance(envelope, Mapping) or envelope.keys() != {"payload", "payloadType", "signatures"}:
        raise Malformed("an envelope has payload, payloadType and signatures")
    try:
        parsed = Envelope.from_dict(copy.deepcopy(dict(envelope)))  # it takes apart what it is given
        parsed.pae()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Malformed("the envelope's fields cannot be read") from error
    return parsed


def _verifiers(keys: PublicKeys) -> list[Key]:
    return [
        _OwnKey(keys.ed25519_id, "ed25519", keys.ed25519, keys.check_ed25519),
        _OwnKey(keys.mldsa44_id, "ml-dsa-44", keys.mldsa44, keys.check_mldsa44),
    ]


class _OwnKey(Key):
    """A public key whose signatures are over the content as it is."""

    def __init__(self, key_id: str, kind: str, public: bytes, check: Callable[[bytes, bytes], None]) -> None:
        super().__init__(key_id, kind, kind, {"public": public.hex()})
        self._check = check

    @classmethod
    def from_dict(cls, keyid: str, key_dict: dict[str, Any]) -> Key:
        raise NotImplementedError("evidence keys are kept as PEM")

    def to_dict(self) -> dict[str, Any]:
        return dict(self._to_dict())

    def verify_signature(self, signature: Signature, data: bytes) -> None:
        try:
            self._check(bytes.fromhex(signature.signature), data)
        except SignatureInvalid as error:
            raise UnverifiedSignatureError(error.message) from error


class _OwnSigner(Signer):
    def __init__(self, sign_with: Callable[[bytes], bytes], key: Key) -> None:
        self._sign = sign_with
        self._key = key

    @property
    def public_key(self) -> Key:
        return self._key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        raise NotImplementedError("evidence keys are settings")

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._key.keyid, self._sign(payload).hex())

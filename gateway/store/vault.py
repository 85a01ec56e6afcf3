"""Forget and retain texts while they wait, scopes and probes: AES-256-GCM, bound to the request they belong to.

What has to be recognised again after its text is gone is kept as a fingerprint under a key of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.store.secret_file import load_or_create_secret

KEY_BYTES = 32
SALT_BYTES = 32
_NONCE_BYTES = 12
KEY_FILE = "payload.key"


class PayloadUnreadable(GatewayError):
    """Sealed under another key or for another request, or changed since."""

    code = "payload_unreadable"


class InvalidPayloadKey(GatewayError):
    """A key that is not 32 bytes in base64."""

    code = "invalid_payload_key"


class PayloadVault:
    """Seals as `nonce (12 bytes) | ciphertext and tag`, with the request id as associated data; of a scope it is
    `scope:<id>`, of probes `probes:<id>`, and of the key that these are kept under `probe-key:<id>`.

    scope_key: what words of scopes are hashed under.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InvalidPayloadKey(f"the payload key must have {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self._fingerprint_key = _derived(key, b"unlearning-gateway fingerprint v1")
        self.scope_key = _derived(key, b"unlearning-gateway scope words v1")

    def seal(self, request_id: str, payload: Mapping[str, Any]) -> bytes:
        return self._sealed(request_id, _canonical(payload))

    def open(self, request_id: str, sealed: bytes) -> dict[str, Any]:
        """The payload. Raises `PayloadUnreadable`."""
        payload: dict[str, Any] = json.loads(self._opened(request_id, sealed, "forget set"))
        return payload

    def seal_scope(self, request_id: str, entry: bytes) -> bytes:
        """What says which prompts the request applies to; a payload cannot be put in its place."""
        return self._sealed(f"scope:{request_id}", entry)

    def open_scope(self, request_id: str, sealed: bytes) -> bytes:
        """The reverse. Raises `PayloadUnreadable`."""
        return self._opened(f"scope:{request_id}", sealed, "scope")

    def seal_probes(self, request_id: str, probes: bytes) -> bytes:
        """What a request is evaluated with."""
        return self._sealed(f"probes:{request_id}", probes)

    def open_probes(self, request_id: str, sealed: bytes) -> bytes:
        """The reverse. Raises `PayloadUnreadable`."""
        return self._opened(f"probes:{request_id}", sealed, "probe set")

    def seal_probe_key(self, request_id: str, key: bytes) -> bytes:
        """The key of one request's probes alone."""
        return self._sealed(f"probe-key:{request_id}", key)

    def open_probe_key(self, request_id: str, sealed: bytes) -> bytes:
        """The reverse. Raises `PayloadUnreadable`."""
        return self._opened(f"probe-key:{request_id}", sealed, "key of a probe set")

    def _sealed(self, bound_to: str, content: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, content, bound_to.encode())

    def _opened(self, bound_to: str, sealed: bytes, what: str) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode())
        except (InvalidTag, ValueError) as error:
            raise PayloadUnreadable(f"the stored {what} cannot be decrypted with this payload key") from error

    def fingerprint(self, *texts: str) -> str:
        """HMAC-SHA256 (hex) of the texts: equal ones can be recognised, and no guess tested without the key."""
        message = json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return hmac.new(self._fingerprint_key, message, hashlib.sha256).hexdigest()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose).derive(key)


def load_or_create_key(settings: Settings) -> bytes:
    """From the environment, else from data_dir/payload.key, which is made on first use with mode 0600.

    Raises `InvalidPayloadKey`, `UnsafeSecretFile`.
    """
    if settings.payload_key is not None:
        return _decode(settings.payload_key.get_secret_value(), "UNLEARN_PAYLOAD_KEY")
    path = settings.data_dir / KEY_FILE
    text = load_or_create_secret(path, lambda: base64.b64encode(os.urandom(KEY_BYTES)).decode())
    return _decode(text, str(path))


def new_salt() -> bytes:
    """For one `commitment`. It is kept inside the sealed payload and nowhere else, so that with the payload
    goes the means to test a guess against the commitment."""
    return os.urandom(SALT_BYTES)


def commitment(salt: bytes, payload: Mapping[str, Any]) -> str:
    """HMAC-SHA256 (hex) of the payload's canonical JSON; testable only by who holds the salt."""
    return hmac.new(salt, _canonical(payload), hashlib.sha256).hexdigest()


def _canonical(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidPayloadKey(f"{source} is not base64") from error
    if len(key) != KEY_BYTES:
        raise InvalidPayloadKey(f"{source} must hold {KEY_BYTES} bytes in base64, not {len(key)}")
    return key

"""This host's evidence keys: the one that signs, and perhaps the one before it, which vouches for it."""

from __future__ import annotations

import base64
import binascii
import os

from gateway.evidence.errors import InvalidKey
from gateway.evidence.signing.keys import SEED_BYTES, SigningKey
from gateway.settings import Settings
from gateway.store.secret_file import load_or_create_secret

KEY_FILE = "evidence.key"
_MOST = 2


class EvidenceKeys:
    """Reads the keys anew each time that they are asked for: a file may be changed under a running service."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: tuple[str, tuple[SigningKey, ...]] | None = None

    def load(self) -> tuple[SigningKey, ...]:
        """One key or two, the one to sign with first. Made on first use, with mode 0600, where no setting names one.

        Raises `InvalidKey`, `UnsafeSecretFile`.
        """
        text = self._text()
        if self._read is None or self._read[0] != text:
            self._read = text, tuple(SigningKey(seed) for seed in seeds(text))
        return self._read[1]

    def _text(self) -> str:
        if self._settings.evidence_key is not None:
            return self._settings.evidence_key.get_secret_value()
        return load_or_create_secret(self._settings.data_dir / KEY_FILE, new_seed)


def new_seed() -> str:
    """A new key's secret, in base64."""
    return base64.b64encode(os.urandom(SEED_BYTES)).decode()


def seeds(text: str) -> list[bytes]:
    """The secrets in a setting or file, apart by commas or lines. Raises `InvalidKey`."""
    parts = [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]
    if not 0 < len(parts) <= _MOST:
        raise InvalidKey("an evidence key is base64 of 32 bytes, and there may be the one before it behind it")
    try:
        return [base64.b64decode(part, validate=True) for part in parts]
    except binascii.Error as error:
        raise InvalidKey("an evidence key is not base64") from error

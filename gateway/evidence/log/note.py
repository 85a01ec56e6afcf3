"""C2SP signed notes: a text, an empty line, and signature lines, each with its key's name and a hint of which key."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from gateway.evidence.errors import Malformed

_DASH = "\u2014 "
_ID_BYTES = 4
#: Above what the format has every reader take.
_MOST_LINES = 64


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """name: of the key. key_id: 4 bytes that tell its keys apart."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"

    @classmethod
    def parse(cls, line: str) -> SignatureLine:
        """Of a line without its end. Raises `Malformed`."""
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        content = _decoded(encoded)
        if not line.startswith(_DASH) or not is_key_name(name) or len(content) <= _ID_BYTES:
            raise Malformed("no signature line")
        return cls(name, content[:_ID_BYTES], content[_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """text: ends in a newline, and is what is signed."""

    text: str
    lines: tuple[SignatureLine, ...]

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.lines))}"

    @classmethod
    def parse(cls, note: str) -> Note:
        """Raises `Malformed` for anything that `str` would not give, and for more signatures than anybody needs."""
        text, separator, signatures = note.rpartition("\n\n")
        if not separator or not signatures.endswith("\n") or not _is_plain(note):
            raise Malformed("no signed note: a text, an empty line, signature lines")
        lines = signatures.removesuffix("\n").split("\n")
        if len(lines) > _MOST_LINES:
            raise Malformed(f"a note with more than {_MOST_LINES} signatures")
        return cls(f"{text}\n", tuple(map(SignatureLine.parse, lines)))


def is_key_name(name: str) -> bool:
    """Whether a key may be called so."""
    return bool(name) and "+" not in name and not any(character.isspace() for character in name)


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Of a key by this name whose signatures are of this type; 4 bytes."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:_ID_BYTES]


def _decoded(text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("a signature line is no base64") from error
    if base64.b64encode(content).decode() != text:  # one signature, one line
        raise Malformed("a signature line is no base64")
    return content


def _is_plain(text: str) -> bool:
    """UTF-8 without control characters: halves of characters come out of JSON."""
    return not any((character < " " and character != "\n") or "\ud800" <= character <= "\udfff" for character in text)

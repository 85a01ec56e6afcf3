"""What a text looks like in the encodings that software writes text in."""

from __future__ import annotations

import base64
import codecs
import json
import quopri
import secrets
import struct
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from string import ascii_lowercase
from urllib.parse import quote, quote_plus

#: Letters of a marker: long enough that none turns up by chance, also in the shortest encoding.
MARKER_LETTERS = 20
#: Fewest bytes of a needle.
SHORTEST = 8


def new_marker() -> str:
    """A word that nobody has written before."""
    return "".join(secrets.choice(ascii_lowercase) for _ in range(MARKER_LETTERS)).capitalize()


def encodings(text: str) -> dict[bytes, str]:
    """Every form to the name of its encoding; what is looked in is to hold one of them, letter case aside.

    Raises ValueError for a text that is too short to be told from chance.
    """
    found: dict[bytes, str] = {}
    forms = [*_written(text), ("reversed", text[::-1].encode()), ("rot13", codecs.encode(text, "rot13").encode())]
    forms += [("upper case", text.upper().encode())]
    spellings = {norm: unicodedata.normalize(norm, text) for norm in ("NFD", "NFKC")} | {"lower case": text.lower()}
    for spelling, spelt in spellings.items():
        forms += [(f"{name} of {spelling}", needle) for name, needle in _written(spelt)]
    for name, needle in forms:
        if len(needle) < SHORTEST:
            raise ValueError(f"{text!r} is too short to look for in {name}")
        found.setdefault(needle.lower(), name)
    return found


def token_encodings(ids: Sequence[int]) -> dict[bytes, str]:
    """The same for token ids, [n], as logs print them and as arrays hold them."""
    return {
        ", ".join(map(str, ids)).encode(): "tokens in decimal",
        ",".join(map(str, ids)).encode(): "tokens in decimal, close",
        struct.pack(f"<{len(ids)}i", *ids): "tokens in 32 bits",
        struct.pack(f"<{len(ids)}q", *ids): "tokens in 64 bits",
    }


def _written(text: str) -> Iterator[tuple[str, bytes]]:
    utf8, utf16 = text.encode(), text.encode("utf-16-le")
    yield "utf-8", utf8
    yield "utf-16", utf16
    yield "utf-16 big-endian", text.encode("utf-16-be")
    yield "utf-32", text.encode("utf-32-le")
    yield "utf-32 big-endian", text.encode("utf-32-be")
    if not text.isascii():
        yield "latin-1", text.encode("latin-1", "ignore")
        escaped = json.dumps(text)[1:-1]
        yield "JSON", escaped.encode()
        yield "JSON in JSON", json.dumps(escaped)[1:-1].encode()
        yield "URL", quote(text).encode()
        yield "URL twice", quote(quote(text)).encode()
        yield "HTML", text.encode("ascii", "xmlcharrefreplace")
        yield "escaped bytes", utf8.decode("latin-1").encode("unicode_escape")
        yield "quoted-printable", quopri.encodestring(utf8)
    if " " in text:
        yield "form", quote_plus(text).encode()
        yield "URL", quote(text).encode()
    yield "JSON, every letter", "".join(f"\\u{ord(letter):04x}" for letter in text).encode()
    yield "HTML, every letter", "".join(f"&#{ord(letter)};" for letter in text).encode()
    yield "HTML in hex", "".join(f"&#x{ord(letter):x};" for letter in text).encode()
    for name, data in (("", utf8), (" of utf-16", utf16)):
        for pattern, between in (("hex", ""), ("hex, spaced", " "), ("URL, every byte", "%"), ("escaped", "\\x")):
            yield pattern + name, between.join(f"{byte:02x}" for byte in data).encode()
        for number, needle in enumerate(_aligned(data, base64.b64encode, 6)):
            yield f"base64{name} at {number}", needle
            if needle != (safe := needle.translate(bytes.maketrans(b"+/", b"-_"))):
                yield f"base64url{name} at {number}", safe
        for number, needle in enumerate(_aligned(data, base64.b32encode, 5)):
            yield f"base32{name} at {number}", needle
    for number in range(4):
        yield f"base85 at {number}", base64.b85encode(_whole_words(utf8, number))
        yield f"ascii85 at {number}", base64.a85encode(_whole_words(utf8, number))


def _aligned(data: bytes, encode: Callable[[bytes], bytes], bits: int) -> Iterator[bytes]:
    """What `data` becomes at each place where a group of bytes may begin, without the letters that what is beside it
    has a part in. bits: of a letter."""
    group = 5 if bits == 5 else 3
    for before in range(group):
        first = -(-before * 8 // bits)
        last = (before + len(data)) * 8 // bits
        yield encode(bytes(before) + data)[first:last]


def _whole_words(data: bytes, skipped: int) -> bytes:
    """The words of four bytes that lie inside the data where a word begins after so many."""
    return data[skipped : skipped + (len(data) - skipped) // 4 * 4]

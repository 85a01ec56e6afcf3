"""Each encoding is planted by other means than the ones that look for it."""

from __future__ import annotations

import array
import base64
import binascii
import codecs
import html
import json
import logging
import quopri
import unicodedata
import urllib.parse
from collections.abc import Callable
from functools import partial

import pytest

from tests.forensic.encodings import MARKER_LETTERS, encodings, new_marker, token_encodings
from tests.forensic.places import Place
from tests.forensic.search import Needles, search

PLAIN, ACCENTED = "Quorvexilampothunder", "Žofie Ångströmová-Müller"


def after(before: int, encode: Callable[[bytes], bytes], text: str) -> bytes:
    """The text with so many bytes in front of it."""
    return encode(b"x" * before + text.encode() + b"yz")


PLANTED: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "utf-16 with its mark": lambda text: text.encode("utf-16"),
    "utf-16 big-endian": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "decomposed": lambda text: unicodedata.normalize("NFD", text).encode(),
    "JSON": lambda text: json.dumps({"x": text}).encode(),
    "JSON as it is": lambda text: json.dumps({"x": text}, ensure_ascii=False).encode(),
    "JSON in JSON": lambda text: json.dumps(json.dumps([text])).encode(),
    "every letter escaped": lambda text: "".join(f"\\u{ord(c):04X}" for c in text).encode(),
    "repr of bytes": lambda text: repr(text.encode()).encode(),
    "URL": lambda text: urllib.parse.urlencode({"q": text}, quote_via=urllib.parse.quote).encode(),
    "form": lambda text: urllib.parse.urlencode({"q": text}).encode(),
    "URL twice": lambda text: urllib.parse.quote(urllib.parse.quote(text)).encode(),
    "URL, every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "HTML": lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace"),
    "HTML, every letter": lambda text: "".join(f"&#x{ord(c):X};" for c in text).encode(),
    "hex": lambda text: binascii.hexlify(text.encode()),
    "hex in capitals": lambda text: text.encode().hex().upper().encode(),
    "hex dump": lambda text: text.encode().hex(" ").encode(),
    "escaped bytes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 one on": lambda text: base64.b64encode(b"a" + text.encode() + b"z"),
    "base64 two on": lambda text: base64.b64encode(b"ab" + text.encode() + b"yz"),
    "base64url": lambda text: base64.urlsafe_b64encode(b"abc" + text.encode()),
    "base64 of utf-16": lambda text: base64.b64encode(b"a" + text.encode("utf-16-le")),
    **{f"base32 {before} on": partial(after, before, base64.b32encode) for before in range(5)},
    **{f"base85 {before} on": partial(after, before, base64.b85encode) for before in range(4)},
    "ascii85": lambda text: base64.a85encode(b"abcdefg" + text.encode()),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()),
    "reversed": lambda text: text[::-1].encode(),
    "rot13": lambda text: codecs.encode(text, "rot13").encode(),
    "a log line": lambda text: logging.Formatter("%(message)r").format(
        logging.makeLogRecord({"msg": f"asked {text}?"})
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("text", [PLAIN, ACCENTED])
@pytest.mark.parametrize("how", PLANTED)
def test_it_is_found_in_every_encoding(how: str, text: str) -> None:
    planted = b"before \x00\xff " + PLANTED[how](text) + b" after"
    assert search([Place("here", planted)], Needles({"it": text})), how


@pytest.mark.parametrize("how", PLANTED)
def test_another_text_is_not_taken_for_it(how: str) -> None:
    assert not search([Place("here", PLANTED[how]("Someone Else Altogether"))], Needles({"it": PLAIN}))


def test_the_finding_says_where_and_how() -> None:
    found = search([Place("a file", base64.b64encode(PLAIN.encode()))], Needles({"a name": PLAIN}))
    assert [(finding.place, finding.what) for finding in found] == [("a file", "a name in base64 at 0")]


def test_tokens_are_found_as_text_and_as_numbers() -> None:
    ids = [49, 1207, 40012, 7]
    data = {name: needle for needle, name in token_encodings(ids).items()}
    for planted in (str(ids).encode(), array.array("i", ids).tobytes(), array.array("q", ids).tobytes()):
        assert search([Place("here", b"x" + planted)], Needles({}, data))
    assert not search([Place("here", str(ids[::-1]).encode())], Needles({}, data))


def test_bytes_are_found_as_they_are() -> None:
    ciphertext = bytes(range(180, 220))
    needles = Needles({}, {"the ciphertext": ciphertext})
    assert [finding.what for finding in search([Place("a log", b"\x01" + ciphertext)], needles)] == ["the ciphertext"]
    assert not search([Place("a log", ciphertext[::-1])], needles)


def test_what_chance_could_write_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        encodings("Anna")
    with pytest.raises(ValueError, match="too short"):
        Needles({}, {"two bytes": b"ab"})


def test_markers_are_new_words() -> None:
    assert len({new_marker() for _ in range(100)}) == 100
    assert new_marker().isalpha()
    assert len(new_marker()) == MARKER_LETTERS

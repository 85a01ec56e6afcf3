"""What is inside data: streams that are compressed, wherever they begin, also those written in base64."""

from __future__ import annotations

import base64
import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from tests.forensic.lzf import redis_strings

#: Of streams within streams.
DEEPEST = 4
#: Most bytes of one stream: what is looked for is small, and a bomb is not to fill the memory.
MOST_BYTES = 64 << 20


class Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


_STREAMS: tuple[tuple[str, re.Pattern[bytes], Callable[[], Decompressor]], ...] = (
    ("gzip", re.compile(rb"\x1f\x8b\x08"), lambda: zlib.decompressobj(31)),
    ("zlib", re.compile(rb"\x78[\x01\x5e\x9c\xda]"), lambda: zlib.decompressobj()),
    ("bzip2", re.compile(rb"BZh[1-9]1AY&SY"), bz2.BZ2Decompressor),
    ("xz", re.compile(rb"\xfd7zXZ\x00"), lzma.LZMADecompressor),
)
_ZIP = re.compile(rb"PK\x03\x04.{4}\x08\x00.{16}(..)(..)", re.DOTALL)
#: Base64 of the first bytes of gzip and of zlib.
_BASE64 = re.compile(rb"(?:H4sI|eJ[w-z]|eN[o-r]|eA[E-H]|eF[4-7])[A-Za-z0-9+/_-]{8,}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def unpacked(data: bytes, depth: int = DEEPEST) -> Iterator[tuple[str, bytes]]:
    """The data itself, and what is compressed in it, each with how: "", "gzip", "base64 > zlib"."""
    yield "", data
    if not depth:
        return
    for how, inside in (*_compressed(data), *_in_base64(data), *(("lzf", text) for text in redis_strings(data))):
        for inner, piece in unpacked(inside, depth - 1):
            yield f"{how} > {inner}" if inner else how, piece


def _compressed(data: bytes) -> Iterator[tuple[str, bytes]]:
    for name, magic, decompressor in _STREAMS:
        for match in magic.finditer(data):
            if found := _decompressed(decompressor(), data, match.start()):
                yield name, found
    for match in _ZIP.finditer(data):
        skipped = sum(int.from_bytes(length, "little") for length in match.groups())
        if found := _decompressed(zlib.decompressobj(-15), data, match.end() + skipped):
            yield "zip", found


def _decompressed(stream: Decompressor, data: bytes, start: int) -> bytes:
    """As much as comes out of it: a stream may be cut short, and its mark may be there by chance."""
    found, position = b"", start
    try:
        while not stream.eof and len(found) < MOST_BYTES and position < len(data):
            # In small steps: what an earlier one gave is kept where a later one fails.
            found += stream.decompress(data[position : position + 512], MOST_BYTES)
            position += 512
    except (zlib.error, OSError, lzma.LZMAError):
        pass  # damaged from here on, or none
    return found


def _in_base64(data: bytes) -> Iterator[tuple[str, bytes]]:
    for match in _BASE64.finditer(data):
        text = match.group().translate(_TO_STANDARD)
        yield "base64", base64.b64decode(text[: len(text) // 4 * 4])

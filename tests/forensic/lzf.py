"""Strings that Redis has compressed in a dump: LZF, in the layout of RDB files."""

from __future__ import annotations

from collections.abc import Iterator

_MARK = 0xC3  # "a string, compressed with LZF"
_MOST_BYTES = 1 << 20


def redis_strings(data: bytes) -> Iterator[bytes]:
    """Those in a dump, or in an append-only file that begins with one; none in anything else."""
    if not data.startswith(b"REDIS"):
        return
    at = data.find(_MARK)
    while at >= 0:
        packed, start = _length(data, at + 1)
        size, start = _length(data, start)
        if 0 < packed < size <= _MOST_BYTES and (text := _expanded(data[start : start + packed], size)) is not None:
            yield text
        at = data.find(_MARK, at + 1)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length and where what follows it begins; 0 where there is none."""
    kind, low = (data[at] >> 6, data[at] & 0x3F) if at < len(data) else (3, 0)
    if kind == 0:
        return low, at + 1
    if kind == 1:
        return low << 8 | int.from_bytes(data[at + 1 : at + 2]), at + 2
    if kind == 2 and low == 0:
        return int.from_bytes(data[at + 1 : at + 5]), at + 5
    return 0, at


def _expanded(packed: bytes, size: int) -> bytes | None:
    """None for what is no LZF of so many bytes."""
    out, at = bytearray(), 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:  # so many bytes and one more, as they are
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            if at >= len(packed):
                return None
            length += packed[at]
            at += 1
        if at >= len(packed):
            return None
        begin = len(out) - ((control & 0x1F) << 8 | packed[at]) - 1
        at += 1
        if begin < 0 or len(out) > size:
            return None
        for place in range(begin, begin + length + 2):  # it may reach into what it makes
            out.append(out[place])
    return bytes(out) if len(out) == size else None

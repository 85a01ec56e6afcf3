"""Streams are planted in the midst of other data, cut short, and one within another."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

import pytest

from tests.forensic.places import Place
from tests.forensic.search import Needles, search

TEXT = "Quorvexilampothunder"
LONG = " ".join(f"{number} {TEXT.lower()} {number * 7}" for number in range(40)).encode()
NOISE = random.Random(0).randbytes(3000)


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/name.txt", data)
    return file.getvalue()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo("name.txt")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def zlib_in_base64(data: bytes, level: int) -> bytes:
    return base64.b64encode(zlib.compress(data, level))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    **{f"zlib at {level}": partial(zlib.compress, level=level) for level in (1, 5, 6, 9)},
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "tar": tarred,
    "gzip in base64": lambda data: base64.b64encode(gzip.compress(data)),
    **{f"zlib at {level} in base64": partial(zlib_in_base64, level=level) for level in (1, 5, 6, 9)},
    "zlib in base64url": lambda data: base64.urlsafe_b64encode(zlib.compress(data)),
    "zip in gzip in bzip2": lambda data: bz2.compress(gzip.compress(zipped(data))),
    "hex in gzip": lambda data: gzip.compress(data.hex().encode()),
}


@pytest.mark.parametrize("how", PACKED)
def test_it_is_found_in_every_packing(how: str) -> None:
    planted = NOISE + b"\n" + PACKED[how](LONG) + b"\n" + NOISE
    assert TEXT.lower().encode() not in planted.lower()
    found = search([Place("here", planted)], Needles({"it": TEXT}))
    assert any("packed in" in finding.what for finding in found)


@pytest.mark.parametrize("how", ["gzip", "zlib at 6", "gzip in base64"])
def test_a_stream_that_is_cut_short_gives_what_there_is(how: str) -> None:
    data = random.Random(1).randbytes(40_000).hex().encode() + LONG + random.Random(2).randbytes(40_000).hex().encode()
    planted = PACKED[how](data)
    assert search([Place("here", planted[: len(planted) * 3 // 4])], Needles({"it": TEXT}))


def test_noise_holds_nothing() -> None:
    assert not search([Place("here", random.Random(3).randbytes(300_000))], Needles({"it": TEXT}))

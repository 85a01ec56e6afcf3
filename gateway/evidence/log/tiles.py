"""C2SP tlog-tiles: the tree and its leaves in static pieces of 256, and what a longer tree appends to them.

A tile of level L holds the hashes of complete subtrees of 256^L leaves; a bundle holds leaves, each behind its length.
Both only ever grow at their end, so that a partial one is the beginning of what is there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.evidence.errors import Malformed
from gateway.evidence.log.merkle import HASH_BYTES, Subtree, complete_hash, leaf_hash

WIDTH = 256
_HEIGHT = 8
_MOST_LEVEL = 63
_ENTRIES = "entries"
_LENGTH = struct.Struct(">H")
LONGEST_LEAF = 2**16 - 1
_PATH = re.compile(r"(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class TileId:
    """level None: a bundle of leaves."""

    level: int | None
    index: int

    def width(self, size: int) -> int:
        """How many hashes or leaves it has in a tree of `size`: 0 to 256."""
        here = size >> (_HEIGHT * (self.level or 0))
        return max(0, min(WIDTH, here - self.index * WIDTH))

    def path(self, width: int = WIDTH) -> str:
        """Below `tile/`, as `1/x001/234.p/5`."""
        number = f"{self.index % 1000:03d}"
        rest = self.index // 1000
        while rest:
            number, rest = f"x{rest % 1000:03d}/{number}", rest // 1000
        level = _ENTRIES if self.level is None else str(self.level)
        return f"{level}/{number}" + ("" if width == WIDTH else f".p/{width}")


def parse_path(path: str) -> tuple[TileId, int]:
    """The reverse of `TileId.path`: the tile, and the width asked for. Raises `Malformed`."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise Malformed("no tile has this path")
    level = None if found[1] == _ENTRIES else int(found[1])
    tile = TileId(level, int(found[2].replace("x", "").replace("/", "")))
    width = WIDTH if found[3] is None else int(found[3])
    # Also refuses numbers with more groups of zeros than they need.
    if (level or 0) > _MOST_LEVEL or tile.path(width) != path:
        raise Malformed("no tile has this path")
    return tile, width


def tile_of(subtree: Subtree) -> TileId:
    """The tile that a subtree's hash is made of."""
    level = subtree.level // _HEIGHT
    return TileId(level, (subtree.index << (subtree.level - _HEIGHT * level)) // WIDTH)


def subtree_hash(subtree: Subtree, tiles: Mapping[TileId, bytes]) -> bytes:
    """The hash of a subtree from its tile. Raises `Malformed` where that is too short."""
    below = subtree.level % _HEIGHT
    first = (subtree.index << below) % WIDTH
    hashes = _hashes(tiles[tile_of(subtree)])[first : first + (1 << below)]
    if len(hashes) != 1 << below:
        raise Malformed(f"the tile of level {subtree.level // _HEIGHT} lacks hashes")
    return complete_hash(hashes)


def edge(size: int) -> list[TileId]:
    """The partial tiles of a tree of this size, which a longer one goes on from."""
    tiles = (TileId(level, (size >> (_HEIGHT * level)) // WIDTH) for level in range(_MOST_LEVEL // _HEIGHT + 1))
    return [tile for tile in tiles if 0 < tile.width(size) < WIDTH]


def growth(size: int, partial: Mapping[TileId, bytes], leaves: Sequence[bytes]) -> dict[TileId, bytes]:
    """What to append to which tile and bundle so that a tree of `size` has these leaves too.

    partial: the tiles of `edge(size)`. Raises `ValueError` for a leaf that no bundle can hold.
    """
    appended: dict[TileId, bytes] = {}
    tails = {tile: _hashes(partial[tile]) for tile in edge(size)}

    def add(level: int, position: int, value: bytes) -> None:
        tile = TileId(level, position // WIDTH)
        tail = tails.setdefault(tile, [])
        tail.append(value)
        appended[tile] = appended.get(tile, b"") + value
        if len(tail) == WIDTH:
            add(level + 1, tile.index, complete_hash(tail))

    for position, leaf in enumerate(leaves, start=size):
        if len(leaf) > LONGEST_LEAF:
            raise ValueError(f"a leaf has {len(leaf)} bytes, and a bundle holds {LONGEST_LEAF}")
        bundle = TileId(None, position // WIDTH)
        appended[bundle] = appended.get(bundle, b"") + _LENGTH.pack(len(leaf)) + leaf
        add(0, position, leaf_hash(leaf))
    return appended


def split_bundle(bundle: bytes) -> list[bytes]:
    """The leaves of a bundle. Raises `Malformed` for one that ends within a leaf."""
    leaves, at = [], 0
    while at < len(bundle):
        start = at + _LENGTH.size
        if start > len(bundle):
            raise Malformed("the bundle ends within a leaf")
        at = start + _LENGTH.unpack_from(bundle, at)[0]
        if at > len(bundle):
            raise Malformed("the bundle ends within a leaf")
        leaves.append(bundle[start:at])
    return leaves


def join_bundle(leaves: Iterable[bytes]) -> bytes:
    """The reverse of `split_bundle`."""
    return b"".join(_LENGTH.pack(len(leaf)) + leaf for leaf in leaves)


def _hashes(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]

from __future__ import annotations

import itertools

import pytest

from gateway.evidence.errors import Malformed
from gateway.evidence.log.merkle import (
    HASH_BYTES,
    consistency_parts,
    folded,
    inclusion_parts,
    leaf_hash,
    root,
    root_parts,
    subtrees,
)
from gateway.evidence.log.tiles import (
    LONGEST_LEAF,
    WIDTH,
    TileId,
    edge,
    growth,
    join_bundle,
    parse_path,
    split_bundle,
    subtree_hash,
    tile_of,
)

SIZE = WIDTH * WIDTH + 3 * WIDTH + 7
LEAVES = [number.to_bytes(4, "big") for number in range(SIZE)]


@pytest.fixture(scope="module")
def tiles() -> dict[TileId, bytes]:
    """The tree of all `LEAVES`, grown in uneven steps."""
    kept: dict[TileId, bytes] = {}
    steps = [0, 1, 2, 3, 255, 256, 257, 511, 1000, 65535, 65536, 65537, SIZE]
    for start, end in itertools.pairwise(steps):
        for tile, more in growth(start, {each: kept[each] for each in edge(start)}, LEAVES[start:end]).items():
            kept[tile] = kept.get(tile, b"") + more
    return kept


@pytest.mark.parametrize(
    ("tile", "width", "path"),
    [
        (TileId(0, 0), 256, "0/000"),
        (TileId(3, 1234067), 256, "3/x001/x234/067"),
        (TileId(1, 999), 1, "1/999.p/1"),
        (TileId(0, 1000), 255, "0/x001/000.p/255"),
        (TileId(63, 5), 256, "63/005"),
        (TileId(None, 42042), 112, "entries/x042/042.p/112"),
    ],
)
def test_paths_are_those_of_the_specification(tile: TileId, width: int, path: str) -> None:
    assert tile.path(width) == path
    assert parse_path(path) == (tile, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/1",
        "0/0001",
        "00/001",
        "64/001",
        "0/x000/001",
        "0/001/001",
        "0/x001",
        "0/001.p/0",
        "0/001.p/256",
        "0/001.p/007",
        "-1/001",
        "data/001",
        "entries/001/",
        "0/001.p/1.p/1",
        "0/００１",
        "0/x001/x1/001",
    ],
)
def test_other_paths_are_of_no_tile(path: str) -> None:
    with pytest.raises(Malformed):
        parse_path(path)


def test_widths_are_those_of_the_specification() -> None:
    """Its own example: 70 000 leaves."""
    widths = {
        (tile.level, tile.width(70_000))
        for tile in (TileId(0, 272), TileId(0, 273), TileId(0, 274), TileId(1, 0), TileId(1, 1), TileId(2, 0))
    }
    assert widths == {(0, 256), (0, 112), (0, 0), (1, 256), (1, 17), (2, 1)}
    assert edge(70_000) == [TileId(0, 273), TileId(1, 1), TileId(2, 0)]
    assert edge(256) == [TileId(1, 0)]
    assert edge(0) == []


def test_the_tiles_of_a_tree_are_as_wide_as_its_size_says(tiles: dict[TileId, bytes]) -> None:
    hash_tiles = {tile: data for tile, data in tiles.items() if tile.level is not None}
    assert {tile: len(data) // HASH_BYTES for tile, data in hash_tiles.items()} == {
        tile: tile.width(SIZE) for tile in hash_tiles
    }
    assert {tile.level for tile in hash_tiles} == {0, 1, 2}
    assert max(tile.index for tile in tiles if tile.level is None) == (SIZE - 1) // WIDTH


def test_bundles_hold_the_leaves_that_the_tiles_hash(tiles: dict[TileId, bytes]) -> None:
    found = [leaf for index in range(SIZE // WIDTH + 1) for leaf in split_bundle(tiles[TileId(None, index)])]
    assert found == LEAVES
    last = split_bundle(tiles[TileId(None, SIZE // WIDTH)])
    assert b"".join(map(leaf_hash, last)) == tiles[TileId(0, SIZE // WIDTH)]
    assert join_bundle(last) == tiles[TileId(None, SIZE // WIDTH)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000, 65535, 65536, 65537, SIZE])
def test_roots_from_tiles_are_those_of_the_leaves(tiles: dict[TileId, bytes], size: int) -> None:
    expected = root([leaf_hash(leaf) for leaf in LEAVES[:size]])
    assert folded(root_parts(size), lambda subtree: subtree_hash(subtree, tiles)) == expected


def test_a_proof_needs_few_tiles() -> None:
    needed = {tile_of(subtree) for subtree in subtrees(inclusion_parts(65_000, SIZE))}
    assert len(needed) <= 5
    assert len({tile_of(subtree) for subtree in subtrees(consistency_parts(65_001, SIZE))}) <= 5


def test_a_tile_that_was_cut_is_told(tiles: dict[TileId, bytes]) -> None:
    subtree = root_parts(SIZE)[-1]
    cut = {tile_of(subtree): tiles[tile_of(subtree)][:-HASH_BYTES]}
    with pytest.raises(Malformed, match="lacks hashes"):
        subtree_hash(subtree, cut)


@pytest.mark.parametrize("cut", [1, 2, 3, 5])  # four is a whole leaf
def test_a_bundle_that_was_cut_is_told(cut: int) -> None:
    with pytest.raises(Malformed, match="within a leaf"):
        split_bundle(join_bundle([b"ab", b"cd"])[:-cut])


def test_a_leaf_longer_than_a_bundle_can_say_is_refused() -> None:
    growth(0, {}, [bytes(LONGEST_LEAF)])
    with pytest.raises(ValueError, match="65536 bytes"):
        growth(0, {}, [bytes(LONGEST_LEAF + 1)])

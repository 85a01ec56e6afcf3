from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proofbundle import merkle as oracle

from gateway.evidence.errors import ConsistencyInvalid, InclusionInvalid
from gateway.evidence.log.merkle import (
    EMPTY_ROOT,
    Part,
    Subtree,
    check_consistency,
    check_inclusion,
    complete_hash,
    consistency_parts,
    folded,
    inclusion_parts,
    leaf_hash,
    root,
)

#: The known answers that certificate-transparency publishes: leaves, and the roots of the first 0 to 8 of them.
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = [
    (0, 1, []),
    (0, 2, ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"]),
    (1, 2, ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"]),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]
CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]
MOST = 70
MANY = [str(number).encode() for number in range(MOST)]
HASHES = [leaf_hash(leaf) for leaf in MANY]
ROOT_OF = [root(HASHES[:size]) for size in range(MOST + 1)]


def made(parts: list[Part], hashes: list[bytes]) -> list[bytes]:
    def hash_of(subtree: Subtree) -> bytes:
        start = subtree.index << subtree.level
        return complete_hash(hashes[start : start + (1 << subtree.level)])

    return [folded(part, hash_of) for part in parts]


def inclusion(index: int, size: int) -> list[bytes]:
    return made(inclusion_parts(index, size), HASHES)


def consistency(old: int, new: int) -> list[bytes]:
    return made(consistency_parts(old, new), HASHES)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    assert root([leaf_hash(leaf) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones(index: int, size: int, proof: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [each.hex() for each in made(inclusion_parts(index, size), hashes)] == proof
    check_inclusion(hashes[index], index, size, [bytes.fromhex(each) for each in proof], bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones(old: int, new: int, proof: list[str]) -> None:
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [each.hex() for each in made(consistency_parts(old, new), hashes)] == proof
    of_old, of_new = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
    check_consistency(old, new, of_old, of_new, [bytes.fromhex(each) for each in proof])


@given(st.integers(1, MOST).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_another_library_makes_and_takes_the_same_inclusion_proofs(place: tuple[int, int]) -> None:
    index, size = place
    proof = inclusion(index, size)
    assert proof == oracle.inclusion_proof(MANY[:size], index)
    assert ROOT_OF[size] == oracle.merkle_tree_hash(MANY[:size])
    check_inclusion(HASHES[index], index, size, proof, ROOT_OF[size])


@given(st.integers(1, MOST).flatmap(lambda new: st.tuples(st.integers(1, new), st.just(new))))
def test_another_library_makes_the_same_consistency_proofs(sizes: tuple[int, int]) -> None:
    old, new = sizes
    proof = consistency(old, new)
    assert old == new or proof == oracle.consistency_proof(MANY[:new], old)
    check_consistency(old, new, ROOT_OF[old], ROOT_OF[new], proof)


def spoilt(proof: list[bytes], change: str, data: st.DataObject) -> list[bytes]:
    """The proof with a hash less, with one more, or with another one."""
    if change == "shorter":
        return proof[:-1]
    if change == "longer":
        return [*proof, ROOT_OF[1]]
    changed = data.draw(st.integers(0, len(proof) - 1))
    return [*proof[:changed], EMPTY_ROOT, *proof[changed + 1 :]]


@given(st.data())
def test_no_inclusion_proof_that_was_changed_holds(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, MOST))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion(index, size)
    change = data.draw(st.sampled_from(("index", "leaf", "root", "shorter", "longer", "hash")))
    leaf, of, at = HASHES[index], ROOT_OF[size], index
    if change == "index":
        at = data.draw(st.integers(0, size).filter(lambda other: other != index))
    elif change == "leaf":
        leaf = HASHES[(index + 1) % MOST]
    elif change == "root":
        of = ROOT_OF[size - 1]
    else:
        proof = spoilt(proof, change, data)
    with pytest.raises(InclusionInvalid):
        check_inclusion(leaf, at, size, proof, of)


@given(st.data())
def test_no_consistency_proof_that_was_changed_holds(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, MOST))
    old = data.draw(st.integers(1, new - 1))
    proof = consistency(old, new)
    change = data.draw(st.sampled_from(("old root", "new root", "shorter", "longer", "hash")))
    of_old, of_new = ROOT_OF[old], ROOT_OF[new]
    if change == "old root":
        of_old = ROOT_OF[old - 1]
    elif change == "new root":
        of_new = ROOT_OF[new - 1]
    else:
        proof = spoilt(proof, change, data)
    with pytest.raises(ConsistencyInvalid):
        check_consistency(old, new, of_old, of_new, proof)


@pytest.mark.parametrize(
    ("old", "new", "of_old", "proof"),
    [
        (3, 2, ROOT_OF[3], []),
        (-1, 2, EMPTY_ROOT, []),
        (0, 2, ROOT_OF[1], []),
        (0, 2, EMPTY_ROOT, [ROOT_OF[1]]),
        (2, 2, ROOT_OF[1], []),
        (2, 2, ROOT_OF[2], [ROOT_OF[1]]),
    ],
)
def test_a_tree_does_not_shrink_and_has_one_root(old: int, new: int, of_old: bytes, proof: list[bytes]) -> None:
    with pytest.raises(ConsistencyInvalid):
        check_consistency(old, new, of_old, ROOT_OF[new], proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (7, 5)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        inclusion_parts(index, size)
    with pytest.raises(InclusionInvalid):
        check_inclusion(EMPTY_ROOT, index, size, [], EMPTY_ROOT)


def test_there_is_no_proof_that_a_tree_shrank() -> None:
    with pytest.raises(ValueError, match="does not grow"):
        consistency_parts(5, 4)


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = (hashlib.sha256(bytes([each])).digest() for each in range(2))
    assert leaf_hash(left + right) != root([left, right])
    assert all(one != other for one, other in pairwise(ROOT_OF))

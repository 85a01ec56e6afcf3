"""The Merkle tree of RFC 6962, section 2.1: hashes, roots, and proofs of inclusion and consistency.

Proofs are made of hashes of *complete subtrees* (of 2^level leaves, the index-th of its level), so that who keeps these
need not read the leaves. What a proof needs is known before anything is read: `inclusion_parts` and `consistency_parts`
name the subtrees, and `folded` makes the proof's hashes of theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway.evidence.errors import ConsistencyInvalid, InclusionInvalid

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()


@dataclass(frozen=True, slots=True)
class Subtree:
    """The complete subtree over the leaves from `index << level` on, `1 << level` of them."""

    level: int
    index: int


#: One hash of a proof or a root: its subtrees from left to right, none larger than the one before.
Part = tuple[Subtree, ...]


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_parts(size: int) -> Part:
    """The subtrees that a tree of this size is made of."""
    return _cover(0, size)


def inclusion_parts(index: int, size: int) -> list[Part]:
    """PATH(index, D[size]), from the leaf's sibling up. Raises `ValueError` for a leaf that is not in the tree."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    parts: list[Part] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            parts.append(_cover(middle, end))
            end = middle
        else:
            parts.append(_cover(start, middle))
            start = middle
    return parts[::-1]


def consistency_parts(old: int, new: int) -> list[Part]:
    """PROOF(old, D[new]); nothing for an old tree that is empty or the same. Raises `ValueError` unless old ≤ new."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not grow out of one of {old}")
    if old in (0, new):
        return []
    parts: list[Part] = []
    start, end, known = 0, new, True
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            parts.append(_cover(middle, end))
            end = middle
        else:
            parts.append(_cover(start, middle))
            start, known = middle, False
    if not known:
        parts.append(_cover(start, end))
    return parts[::-1]


def folded(part: Part, hash_of: Callable[[Subtree], bytes]) -> bytes:
    """The hash over a part, given those of its subtrees."""
    if not part:
        return EMPTY_ROOT
    *left, result = (hash_of(subtree) for subtree in part)
    for each in reversed(left):
        result = node_hash(each, result)
    return result


def complete_hash(hashes: Sequence[bytes]) -> bytes:
    """The hash over neighbouring subtrees of one level, a power of two of them."""
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[i : i + 2]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Of a tree whose leaf hashes are all at hand."""

    def hash_of(subtree: Subtree) -> bytes:
        start = subtree.index << subtree.level
        return complete_hash(leaf_hashes[start : start + (1 << subtree.level)])

    return folded(root_parts(len(leaf_hashes)), hash_of)


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root_hash: bytes) -> None:
    """Raises `InclusionInvalid` unless the proof leads from this leaf hash to the root. RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        raise InclusionInvalid(f"a tree of {size} leaves has no leaf {index}")
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InclusionInvalid("the inclusion proof is too long")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise InclusionInvalid("the inclusion proof is too short")
    if result != root_hash:
        raise InclusionInvalid(f"leaf {index} is not in the tree of this root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `ConsistencyInvalid` unless the new tree is the old one and more. RFC 9162, section 2.1.4.2."""
    if not 0 <= old <= new:
        raise ConsistencyInvalid(f"a tree of {new} leaves does not grow out of one of {old}")
    if old in (0, new):
        if proof:
            raise ConsistencyInvalid("the consistency proof is too long")
        if old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise ConsistencyInvalid(f"two roots of one tree of {old} leaves")
        return
    _check_growth(old, new, old_root, new_root, proof)


def _check_growth(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """For 0 < old < new."""
    hashes = list(proof)
    if old & (old - 1) == 0:  # a complete subtree, which the proof leaves out
        hashes.insert(0, old_root)
    if not hashes:
        raise ConsistencyInvalid("the consistency proof is too short")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    of_old = of_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise ConsistencyInvalid("the consistency proof is too long")
        if node & 1 or node == last:
            of_old, of_new = node_hash(sibling, of_old), node_hash(sibling, of_new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            of_new = node_hash(of_new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ConsistencyInvalid("the consistency proof is too short")
    if of_old != old_root or of_new != new_root:
        raise ConsistencyInvalid(f"the tree of {new} leaves is not that of {old} and more")


def subtrees(parts: Iterable[Part]) -> set[Subtree]:
    """All that the parts are made of."""
    return {subtree for part in parts for subtree in part}


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _cover(start: int, end: int) -> Part:
    """The subtrees over [start, end), where start is where a subtree as large as any of them begins."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append(Subtree(level, start >> level))
        start += 1 << level
    return tuple(found)

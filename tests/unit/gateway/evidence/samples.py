"""Keys, checkpoints and a small log that tests of evidence share."""

from __future__ import annotations

from functools import cache

from gateway.evidence.log.checkpoint import Checkpoint, sign
from gateway.evidence.log.leaf import SALT_BYTES, Entry, sealed
from gateway.evidence.log.merkle import Subtree, complete_hash, folded, inclusion_parts, leaf_hash, root
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.signing.keys import SEED_BYTES, SigningKey

ORIGIN = "log.example/unlearning"
#: 2026-11-27T00:00:00Z
NOON_MS = 1_795_737_600_000


@cache
def signing_key(number: int = 1) -> SigningKey:
    return SigningKey(bytes([number]) * SEED_BYTES)


def leaves(count: int) -> list[bytes]:
    """Of that many state changes, a second apart."""
    salt = bytes(SALT_BYTES)
    return [
        sealed(Entry("state", {"request": f"req_{number}"}), salt, NOON_MS + 1000 * number).to_bytes()
        for number in range(count)
    ]


def checkpoint(size: int) -> Checkpoint:
    """Of `leaves(size)`."""
    return Checkpoint(ORIGIN, size, root([leaf_hash(leaf) for leaf in leaves(size)]))


def signed(size: int, *keys: int) -> str:
    """The checkpoint of `leaves(size)` as a note, signed with each of these keys."""
    return str(sign(checkpoint(size), [signing_key(number) for number in keys or (1,)], NOON_MS // 1000))


def proof_file(index: int, size: int, *keys: int) -> ProofFile:
    """Of a leaf of `leaves(size)`."""
    hashes = [leaf_hash(leaf) for leaf in leaves(size)]

    def hash_of(subtree: Subtree) -> bytes:
        start = subtree.index << subtree.level
        return complete_hash(hashes[start : start + (1 << subtree.level)])

    proof = tuple(folded(part, hash_of) for part in inclusion_parts(index, size))
    return ProofFile(index, proof, signed(size, *keys))

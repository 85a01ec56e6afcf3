"""C2SP `.tlog-proof` files: one leaf's place in the log, to be checked offline with nothing but public keys."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from gateway.evidence.errors import Malformed
from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.merkle import HASH_BYTES, check_inclusion, leaf_hash
from gateway.evidence.log.note import Note

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")
#: A tree has at most 2^63 leaves.
_MOST_HASHES = 63


@dataclass(frozen=True, slots=True)
class ProofFile:
    """index: of the leaf. proof: hashes from its sibling up. checkpoint: the signed note, as it is.

    extra: what whoever wrote the file put beside, which nothing vouches for.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint: str
    extra: bytes | None = None

    def to_text(self) -> str:
        extra = [] if self.extra is None else [f"extra {_encoded(self.extra)}"]
        return "\n".join([_HEADER, *extra, f"index {self.index}", *map(_encoded, self.proof), "", self.checkpoint])

    @classmethod
    def from_text(cls, text: str) -> ProofFile:
        """The reverse. Raises `Malformed`."""
        head, separator, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n")
        if header != _HEADER or not separator:
            raise Malformed(f"a proof file begins with {_HEADER}")
        extra = _decoded(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else None
        found = _INDEX.fullmatch(lines.pop(0)) if lines else None
        if found is None or len(lines) > _MOST_HASHES:
            raise Malformed("a proof file has an index, and a hash for each level")
        proof = tuple(map(_decoded, lines))
        if any(len(each) != HASH_BYTES for each in proof):
            raise Malformed(f"a hash of the proof has {HASH_BYTES} bytes")
        Note.parse(checkpoint)
        return cls(int(found[1]), proof, checkpoint, extra)

    def claimed(self) -> Checkpoint:
        """The checkpoint, whoever signed it. Raises `Malformed`."""
        return Checkpoint.parse(Note.parse(self.checkpoint).text)

    def check(self, leaf: bytes) -> Checkpoint:
        """The checkpoint that the leaf is under, whoever signed that: its signatures are another check.

        Raises `Malformed`, `InclusionInvalid`.
        """
        checkpoint = self.claimed()
        check_inclusion(leaf_hash(leaf), self.index, checkpoint.size, self.proof, checkpoint.root)
        return checkpoint


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("a line of the proof is no base64") from error
    if _encoded(data) != text:
        raise Malformed("a line of the proof is no base64")
    return data

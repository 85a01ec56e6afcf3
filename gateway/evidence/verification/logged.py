"""The leaves of the log that a file shows: their places, and what is behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.evidence.canonical import canonical
from gateway.evidence.errors import Malformed, NotCanonical
from gateway.evidence.log.leaf import Leaf, Opening
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.verification.finding import Fault


@dataclass(frozen=True, slots=True)
class Logged:
    """One leaf: the proof of its place, the leaf itself, and what is said to be behind it."""

    proof: ProofFile
    leaf: Leaf
    opening: Opening | None

    @property
    def body(self) -> Mapping[str, Any]:
        return {} if self.opening is None else self.opening.body


def read_leaves(
    proofs: Iterable[str], openings: Iterable[Mapping[str, Any]]
) -> tuple[dict[int, Logged], list[tuple[Fault, str]]]:
    """The leaves by index, and what could not be read."""
    faults: list[tuple[Fault, str]] = []
    behind: dict[int, Opening] = {}
    for number, each in enumerate(openings):
        try:
            opening = Opening.from_dict(each)
            canonical(dict(opening.body))
        except (Malformed, NotCanonical) as error:
            faults.append((Fault.OPENING_ALTERED, f"opening {number}: {error.message}"))
        else:
            behind[opening.index] = opening
    leaves: dict[int, Logged] = {}
    for number, text in enumerate(proofs):
        try:
            proof = ProofFile.from_text(text)
            leaf = Leaf.from_bytes(proof.extra or b"")
        except Malformed as error:
            faults.append((Fault.PROOF_MALFORMED, f"proof {number}: {error.message}"))
        else:
            leaves[proof.index] = Logged(proof, leaf, behind.get(proof.index))
    faults += [
        (Fault.PROOF_MISSING, f"leaf {index} is opened, and nothing shows that it is in the log")
        for index in sorted(behind.keys() - leaves.keys())
    ]
    return leaves, faults

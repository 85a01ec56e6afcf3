"""A service in miniature: a log in memory, its keys, and the certificate files that it gives out."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.evidence.canonical import canonical, digest, digest_of
from gateway.evidence.certificate.bundle import Bundle
from gateway.evidence.certificate.statement import PAYLOAD_TYPE, Issue, certificate, summary
from gateway.evidence.log import checkpoint as checkpoints
from gateway.evidence.log.checkpoint import Checkpoint
from gateway.evidence.log.leaf import Entry, Leaf, Opening, sealed
from gateway.evidence.log.merkle import Subtree, complete_hash, folded, inclusion_parts, leaf_hash, root
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.report.report import PreRegistration, Report
from gateway.evidence.signing.dsse import sign
from gateway.evidence.signing.keys import SigningKey
from gateway.evidence.signing.rotation import KeySet, KnownKey
from tests.unit.gateway.evidence.report import samples

ORIGIN = "unlearning-gateway/0123456789abcdef"
#: When the sample report was made, and when it is verified.
MADE = datetime(2025, 11, 27, 8, 5, tzinfo=UTC)
NOW = datetime(2025, 11, 28, tzinfo=UTC)


def key(number: int = 0) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


class MemoryLog:
    """The log, its leaves in memory. `gateway.requests.evidence_log.Log`."""

    def __init__(self, *keys: SigningKey, at: datetime = MADE, origin: str = ORIGIN) -> None:
        self.signers = keys or (key(),)
        self.at = at
        self.origin = origin
        self.tree: list[Leaf] = []
        self.behind: list[tuple[str | None, Opening]] = []

    async def append(self, entry: Entry, *, request: str | None = None, token: str | None = None) -> int:
        return self.add(entry, request)

    async def leaves(self, start: int, end: int) -> list[bytes]:
        return [leaf.to_bytes() for leaf in self.tree[start:end]]

    async def keys(self) -> KeySet:
        return KeySet(self.origin, tuple(KnownKey(each.public()) for each in self.signers[:1]))

    def add(self, entry: Entry, request: str | None = None) -> int:
        index = len(self.tree)
        salt = bytes([index % 256]) * 32
        self.tree.append(sealed(entry, salt, int(self.at.timestamp() * 1000) + index))
        opening = Opening(index, base64.b64encode(salt).decode(), dict(entry.body))
        self.behind.append((request, opening))
        return index

    async def openings(self, request: str) -> Sequence[Opening]:
        return [opening for owner, opening in self.behind if owner == request]

    def redact(self, request: str) -> None:
        self.behind = [each for each in self.behind if each[0] != request]

    async def proof_file(self, index: int) -> str:
        return edited_proof(self.proof(index), extra=None)

    def proof(self, index: int) -> str:
        hashes = [leaf_hash(leaf.to_bytes()) for leaf in self.tree]

        def hash_of(subtree: Subtree) -> bytes:
            start = subtree.index << subtree.level
            return complete_hash(hashes[start : start + (1 << subtree.level)])

        proof = tuple(folded(part, hash_of) for part in inclusion_parts(index, len(hashes)))
        note = checkpoints.sign(
            Checkpoint(self.origin, len(hashes), root(hashes)), self.signers, int(self.at.timestamp())
        )
        return ProofFile(index, proof, str(note), self.tree[index].to_bytes()).to_text()


def promise(report: Report) -> dict[str, Any]:
    """The body of the pre-registration that this report keeps to."""
    evaluation = report.evaluation
    return {
        "request": report.request.id,
        "level": report.claim.level.value,
        "tier": evaluation.tier.value,
        "seeds": dict(evaluation.seeds),
        "decoding": evaluation.decoding.model_dump(mode="json"),
        "families": {family.family: family.asked for family in evaluation.families},
        "gates": report.policy.terms.gates.model_dump(mode="json"),
        "policy": {"id": report.policy.id, "digest": report.policy.digest},
        "manifest": digest(report.manifest),
        "probe_set": evaluation.probe_set.commitment,
    }


class Service:
    """Makes a report's certificate file, step by step, so that a test can do one of them otherwise."""

    def __init__(self, signer: SigningKey | None = None, log: MemoryLog | None = None) -> None:
        self.signer = signer or key()
        self.log = log or MemoryLog(self.signer)
        self.issued_at = MADE

    @property
    def keys(self) -> KeySet:
        return KeySet(ORIGIN, (KnownKey(self.signer.public()),))

    def report(self, **changes: Any) -> Report:
        """A report whose pre-registration is in the log."""
        made = samples.report(**changes)
        body = promise(made)
        index = self.log.add(Entry("pre-registration", body), made.request.id)
        return made.model_copy(update={"pre_registration": PreRegistration(index=index, digest=digest(body))})

    def file(self, report: Report | None = None) -> dict[str, Any]:
        """The certificate file, as JSON types."""
        report = report or self.report()
        logged = self.log.add(Entry("report", {"request": report.request.id, "report": report.digest}))
        self.log.add(Entry("state", {"request": report.request.id, "state": "active"}))
        issue = Issue(self.issued_at, self.log.origin, logged)
        return self.bundled(report, [certificate(report, issue), summary(report, issue)])

    def bundled(self, report: Report, statements: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The file of these statements, which the log then has."""
        payloads = [canonical(each) for each in statements]
        names = ("certificate", "summary")
        body = {name: digest_of(payload) for name, payload in zip(names, payloads, strict=True)}
        self.log.add(Entry("certificate", {**body, "of": report.digest}))
        openings = [opening for _, opening in self.log.behind]
        bundle = Bundle(
            envelopes=tuple(sign(payload, PAYLOAD_TYPE, self.signer) for payload in payloads),
            report=json.loads(report.to_json()),
            openings=tuple(opening.to_dict() for opening in openings),
            proofs=tuple(self.log.proof(opening.index) for opening in openings),
        )
        loaded: dict[str, Any] = json.loads(bundle.to_json())
        return loaded


def edited_proof(text: str, **changes: Any) -> str:
    """A proof file with other fields."""
    return replace(ProofFile.from_text(text), **changes).to_text()

"""Whether what the file shows of the log is in it, was signed, and was there in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gateway.evidence.canonical import digest
from gateway.evidence.certificate.statement import timestamp
from gateway.evidence.errors import EvidenceError, InclusionInvalid, OpeningMismatch, SignatureInvalid
from gateway.evidence.log.checkpoint import Checkpoint, log_keys
from gateway.evidence.log.leaf import opened
from gateway.evidence.log.note import Note
from gateway.evidence.report.promise import Terms
from gateway.evidence.signing.rotation import KeyState
from gateway.evidence.verification.algorithms import ALGORITHMS
from gateway.evidence.verification.exhibit import Exhibit, moment, part
from gateway.evidence.verification.finding import Fault, Findings
from gateway.evidence.verification.logged import Logged
from gateway.evidence.verification.signed import ended

REPORT: Final = "report"
PRE_REGISTRATION: Final = "pre-registration"


def proofs(exhibit: Exhibit) -> Findings:
    """Each leaf is in a tree whose root the log has signed, and no two of these trees are at odds."""
    roots: dict[int, bytes] = {}
    for index, logged in sorted(exhibit.leaves.items()):
        try:
            checkpoint = logged.proof.check(logged.leaf.to_bytes())
        except InclusionInvalid as error:
            yield Fault.INCLUSION_INVALID, error.message
            continue
        except EvidenceError as error:
            yield Fault.PROOF_MALFORMED, f"the checkpoint of leaf {index}: {error.message}"
            continue
        yield from _signatures(exhibit, checkpoint, logged.proof.checkpoint)
        if roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
            yield Fault.LOG_FORKED, f"the log signed two trees of {checkpoint.size} leaves"


def openings(exhibit: Exhibit) -> Findings:
    """What is said to be behind each leaf is what was logged, and the report is among it."""
    for logged in exhibit.leaves.values():
        if logged.opening is not None:
            try:
                opened(logged.leaf, logged.opening)
            except OpeningMismatch as error:
                yield Fault.OPENING_ALTERED, error.message
    found = _report_leaf(exhibit)
    if found is None or found.opening is None:
        yield Fault.OPENING_MISSING, "nothing shows that the report is in the log"
    elif found.leaf.kind != REPORT or found.body.get("report") != exhibit.report.digest:
        yield Fault.REPORT_ALTERED, f"leaf {found.proof.index} is not this report's"


def pre_registration(exhibit: Exhibit) -> Findings:
    """Gates, families, seeds and tier were logged before the report, and are those of the report."""
    promised = exhibit.report.pre_registration
    logged = exhibit.leaves.get(promised.index)
    if logged is None or logged.opening is None or logged.leaf.kind != PRE_REGISTRATION:
        yield Fault.PRE_REGISTRATION_MISSING, "nothing shows what was promised before the evaluation"
        return
    if digest(dict(logged.body)) != promised.digest:
        yield Fault.PRE_REGISTRATION_DIFFERS, "the pre-registration is not the one that the report names"
    if differing := Terms.of(exhibit.report).missing_from(logged.body):
        yield Fault.PRE_REGISTRATION_DIFFERS, f"the report has other {', '.join(differing)} than were promised"
    reported, at = _report_leaf(exhibit), moment(logged.leaf.at)
    after = reported is not None and (logged.proof.index >= reported.proof.index or logged.leaf.at > reported.leaf.at)
    made = moment(exhibit.report.made_at)
    if after or at is None or made is None or at > made + exhibit.rules.skew:
        yield Fault.PRE_REGISTRATION_LATE, "what was promised was logged after the report was made"


def _signatures(exhibit: Exhibit, checkpoint: Checkpoint, note: str) -> Findings:
    """The checkpoint is of the log that the certificate names, and signed with every algorithm that is asked for, by a
    key that counts for it."""
    named = part(exhibit.predicate, "log").get("origin")
    if checkpoint.origin != named or exhibit.keys.origin not in (None, named):
        yield Fault.LOG_FOREIGN, f"a checkpoint is of the log {checkpoint.origin}; the certificate names {named}"
    lines = {(line.name, line.key_id): line for line in Note.parse(note).lines}
    for key in exhibit.keys.known:
        noted = dict(zip(ALGORITHMS, log_keys(checkpoint.origin, key.keys), strict=True))
        signed = {name: lines[each.name, each.id] for name, each in noted.items() if (each.name, each.id) in lines}
        if not signed:
            continue
        for algorithm in sorted(exhibit.rules.algorithms):
            if algorithm not in signed:
                yield Fault.CHECKPOINT_UNSIGNED, f"a checkpoint has no {algorithm} signature of the log"
                continue
            try:
                seconds = noted[algorithm].check(checkpoint, signed[algorithm])
            except SignatureInvalid:
                yield Fault.CHECKPOINT_UNSIGNED, f"the {algorithm} signature of a checkpoint is not over what it says"
                continue
            at = exhibit.rules.at if seconds is None else datetime.fromtimestamp(seconds, UTC)
            if at > exhibit.rules.at + exhibit.rules.skew:
                yield Fault.FROM_THE_FUTURE, f"a checkpoint was signed at {timestamp(at)}"
        in_time = key.state is KeyState.RETIRED and checkpoint.size <= (key.since or 0)
        if key.state is not KeyState.CURRENT and not in_time:
            yield ended(key), f"a checkpoint is signed with a key that is {key.state}; ask the log for one of today"
        return
    yield Fault.CHECKPOINT_UNSIGNED, "a checkpoint is signed by no key of the key file"


def _report_leaf(exhibit: Exhibit) -> Logged | None:
    index = part(exhibit.predicate, "log").get("reportIndex")
    return exhibit.leaves.get(index) if type(index) is int else None

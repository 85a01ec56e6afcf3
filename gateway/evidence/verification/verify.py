"""All checks of a certificate file, one after another, and what they found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from gateway.evidence.canonical import canonical
from gateway.evidence.certificate.bundle import Bundle
from gateway.evidence.errors import Malformed, NotCanonical
from gateway.evidence.report.report import Report
from gateway.evidence.signing.rotation import KeySet
from gateway.evidence.verification import log, reported, signed, validity
from gateway.evidence.verification.envelopes import STATEMENTS, Envelope
from gateway.evidence.verification.exhibit import Exhibit, Rules
from gateway.evidence.verification.finding import Fault, Finding, Findings
from gateway.evidence.verification.logged import read_leaves

#: What is checked of a file that can be read, in this order, by the name that findings and `--json` have.
CHECKS: Mapping[str, Callable[[Exhibit], Findings]] = MappingProxyType(
    {
        "signatures": signed.signatures,
        "report": reported.report_digest,
        "statements": reported.statements,
        "summary": reported.summary,
        "policy": reported.policy,
        "numbers": reported.numbers,
        "verdict": reported.verdict,
        "proofs": log.proofs,
        "openings": log.openings,
        "pre-registration": log.pre_registration,
        "times": validity.times,
        "answer": validity.answer,
    }
)
#: What is checked before.
FILE, SHAPE = "file", "shape"


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome. reached: the checks that were made; those after one that nothing can be read without are not.

    report: what was verified; None where it could not be read.
    """

    findings: tuple[Finding, ...]
    reached: tuple[str, ...]
    report: Report | None

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def with_findings(self, check: str, found: Iterable[tuple[Fault, str]]) -> Verification:
        """The same with another check that was made."""
        more = tuple(Finding(check, fault, message) for fault, message in found)
        return Verification((*self.findings, *more), (*self.reached, check), self.report)

    def to_dict(self) -> dict[str, Any]:
        failed = {finding.check for finding in self.findings}
        about = None
        if self.report is not None:
            about = {
                "request": self.report.request.id,
                "report": self.report.digest,
                "verdict": self.report.verdict.value,
                "level": self.report.claim.level.value,
                "valid_until": self.report.valid_until,
            }
        return {
            "sound": self.sound,
            "about": about,
            "checks": {name: "failed" if name in failed else "passed" for name in self.reached},
            "findings": [finding.to_dict() for finding in self.findings],
        }


def verify(data: bytes, keys: KeySet, rules: Rules) -> Verification:
    """Check the bytes of a file against keys that came another way. It never raises for what is in the file."""
    try:
        bundle = Bundle.from_json(data)
    except Malformed as error:
        return Verification((Finding(FILE, Fault.FILE_UNREADABLE, error.message),), (FILE,), None)
    found: list[Finding] = []

    def note(check: str, faults: Iterable[tuple[Fault, str]]) -> None:
        found.extend(Finding(check, fault, message) for fault, message in faults)

    envelopes = [envelope for each in bundle.envelopes if (envelope := Envelope.read(each)) is not None]
    named = {envelope.name: envelope for envelope in envelopes if envelope.name}
    missing = [name for name in STATEMENTS if name not in named]
    note(SHAPE, [(Fault.ENVELOPE_MISSING, f"the file has no readable {name}") for name in missing])
    if not len(named) == len(envelopes) == len(bundle.envelopes):
        note(SHAPE, [(Fault.STATEMENT_MALFORMED, "an envelope holds no statement of a certificate, or one twice")])
    report = _report(bundle)
    if isinstance(report, str):
        note(SHAPE, [(Fault.REPORT_MALFORMED, f"the report does not have its form: {report}")])
    leaves, faults = read_leaves(bundle.proofs, bundle.openings)
    note(SHAPE, faults)
    if isinstance(report, str) or missing:
        return Verification(_once(found), (FILE, SHAPE), None if isinstance(report, str) else report)
    exhibit = Exhibit(keys, rules, named, report, leaves)
    for name, check in CHECKS.items():
        note(name, check(exhibit))
    return Verification(_once(found), (FILE, SHAPE, *CHECKS), report)


def _report(bundle: Bundle) -> Report | str:
    """The report, or where it departs from its form."""
    try:
        report = Report.from_json(json.dumps(bundle.report))
        if report.to_json() != canonical(bundle.report):
            return "it is written otherwise than a service writes it"
    except NotCanonical as error:
        return error.message
    except ValidationError as error:
        return ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()})[:5])
    return report


def _once(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Several leaves are mostly under one checkpoint."""
    return tuple(dict.fromkeys(found))

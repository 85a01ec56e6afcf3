"""What can be wrong with a certificate file, each by a name that scripts and people can rely on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """The names of findings."""

    # The file.
    FILE_UNREADABLE = "file-unreadable"
    ENVELOPE_MISSING = "envelope-missing"
    # Who signed.
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_INVALID = "signature-invalid"
    KEY_UNKNOWN = "key-unknown"
    KEY_REVOKED = "key-revoked"
    KEY_RETIRED = "key-retired"
    CERTIFICATE_UNLOGGED = "certificate-unlogged"
    # What was signed.
    STATEMENT_MALFORMED = "statement-malformed"
    SUMMARY_DIFFERS = "summary-differs"
    # The report.
    REPORT_MALFORMED = "report-malformed"
    REPORT_ALTERED = "report-altered"
    CERTIFICATE_DIFFERS = "certificate-differs-from-report"
    POLICY_UNKNOWN = "policy-unknown"
    NUMBERS_INCONSISTENT = "numbers-inconsistent"
    VERDICT_UNSUPPORTED = "verdict-unsupported"
    # The log.
    OPENING_MISSING = "opening-missing"
    OPENING_ALTERED = "opening-altered"
    PROOF_MISSING = "proof-missing"
    PROOF_MALFORMED = "proof-malformed"
    INCLUSION_INVALID = "inclusion-invalid"
    CHECKPOINT_UNSIGNED = "checkpoint-unsigned"
    LOG_FOREIGN = "log-foreign"
    LOG_FORKED = "log-forked"
    # What was promised before anything was measured.
    PRE_REGISTRATION_MISSING = "pre-registration-missing"
    PRE_REGISTRATION_LATE = "pre-registration-late"
    PRE_REGISTRATION_DIFFERS = "pre-registration-differs"
    # When.
    EXPIRED = "expired"
    FROM_THE_FUTURE = "from-the-future"
    TIMES_DISORDERED = "times-disordered"
    # An answer that is held against it.
    ANSWER_NOT_COVERED = "answer-not-covered"
    # Another evaluation that is held against it.
    PROBES_DIFFER = "probes-differ"
    VERDICT_DIFFERS = "verdict-differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. check: which check found it. message: one sentence for a person, no text of the file's
    beyond names, digests, numbers and times."""

    check: str
    fault: Fault
    message: str

    def to_dict(self) -> dict[str, str]:
        return {"check": self.check, "finding": self.fault.value, "message": self.message}


#: What a check yields: a fault, and what to say of it.
Findings = Iterator[tuple[Fault, str]]

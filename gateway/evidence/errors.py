"""Every way in which evidence is wrong, or cannot be made.

GatewayError
└── EvidenceError
    ├── NotCanonical                a value that has no RFC 8785 form
    ├── Malformed                   a text or file that is none of its format
    ├── InvalidKey                  a key that is no Ed25519 or ML-DSA-44 key, or not of 32 bytes
    ├── NotProven                   it is well formed, and does not hold
    │   ├── SignatureInvalid        a signature that is not of the key it names
    │   ├── UnknownSigner           signed by nobody who is trusted
    │   ├── KeyRevoked              signed with a key that counts no longer
    │   ├── InclusionInvalid        the leaf is not in the tree
    │   ├── ConsistencyInvalid      the later tree is not the earlier one and more
    │   └── OpeningMismatch         what is said to be behind a leaf is not
    └── LogRefused (503)            the log cannot be gone on with
        ├── LogInconsistent         it is not the log that this host has signed or seen before
        ├── EvidenceKeyNotCurrent   this host's key is not the one that the log is signed with
        └── LogUnavailable          nobody has signed the log in time
"""

from __future__ import annotations

from gateway.errors import GatewayError


class EvidenceError(GatewayError):
    """Base error of evidence."""

    status = 422
    type = "invalid_request_error"
    code = "evidence_invalid"


class NotCanonical(EvidenceError):
    code = "not_canonical"


class Malformed(EvidenceError):
    code = "malformed"


class InvalidKey(EvidenceError):
    code = "invalid_evidence_key"


class NotProven(EvidenceError):
    code = "not_proven"


class SignatureInvalid(NotProven):
    code = "signature_invalid"


class UnknownSigner(NotProven):
    code = "unknown_signer"


class KeyRevoked(NotProven):
    code = "key_revoked"


class InclusionInvalid(NotProven):
    code = "inclusion_invalid"


class ConsistencyInvalid(NotProven):
    code = "consistency_invalid"


class OpeningMismatch(NotProven):
    code = "opening_mismatch"


class LogRefused(EvidenceError):
    status = 503
    type = "server_error"
    code = "log_refused"
    retry_after_s = 5


class LogInconsistent(LogRefused):
    code = "log_inconsistent"


class EvidenceKeyNotCurrent(LogRefused):
    code = "evidence_key_not_current"


class LogUnavailable(LogRefused):
    code = "log_unavailable"

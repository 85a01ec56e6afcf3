"""A certificate file as the checks see it: what was signed, the report, and what the file is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.evidence.report.report import Report
from gateway.evidence.signing.rotation import KeySet
from gateway.evidence.verification.envelopes import CERTIFICATE, SUMMARY, Envelope
from gateway.evidence.verification.logged import Logged

#: Clocks of the service and of whoever verifies may differ by so much.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a verifier asks for.

    at: the time it is to be valid at. algorithms: each must have signed. answer_digests: of the adapters that were
    applied to an answer, as `validity.applied` reads them; None: no answer is held against the certificate.
    """

    at: datetime
    algorithms: frozenset[str]
    answer_digests: tuple[str, ...] | None = None
    skew: timedelta = CLOCK_SKEW


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One file, whose statements and report could be read, with the keys that the verifier trusts.

    envelopes: by `STATEMENTS`. leaves: of the log, by index.
    """

    keys: KeySet
    rules: Rules
    envelopes: Mapping[str, Envelope]
    report: Report
    leaves: Mapping[int, Logged]

    @property
    def certificate(self) -> Mapping[str, Any]:
        """The Statement."""
        return self.envelopes[CERTIFICATE].statement

    @property
    def summary(self) -> Mapping[str, Any]:
        """The Statement."""
        return self.envelopes[SUMMARY].statement

    @property
    def predicate(self) -> Mapping[str, Any]:
        """The certificate's."""
        return part(self.certificate, "predicate")


def part(whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within one; empty where there is none: nothing in a file need have its form."""
    found = whole.get(name)
    return found if isinstance(found, Mapping) else {}


def moment(text: object) -> datetime | None:
    """A time as statements and leaves have it; None for what is none."""
    if not isinstance(text, str) or not text.endswith("Z"):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None

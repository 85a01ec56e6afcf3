"""Whether the certificate counts at a time, and whether an answer is covered by it."""

from __future__ import annotations

import re
from typing import Final

from gateway.evidence.canonical import DIGEST_PREFIX
from gateway.evidence.certificate.statement import timestamp
from gateway.evidence.errors import Malformed
from gateway.evidence.verification.exhibit import Exhibit, moment
from gateway.evidence.verification.finding import Fault, Findings

#: The name of the adapter in a manifest.
ADAPTER: Final = "adapter"
#: The value of `x-unlearning-digests` where no adapter was applied.
NO_ADAPTER: Final = "none"
_DIGEST: Final = re.compile(rf"(?:{DIGEST_PREFIX})?([0-9a-f]{{64}})")


def applied(header: str) -> tuple[str, ...]:
    """The digests in a value of `x-unlearning-digests`, in hex; none of them where it says `none`.

    Raises `Malformed`.
    """
    if header.strip() == NO_ADAPTER:
        return ()
    found = [_DIGEST.fullmatch(each.strip()) for each in header.split(",")]
    digests = tuple(each[1] for each in found if each is not None)
    if len(digests) != len(found):
        raise Malformed(
            "takes what the `x-unlearning-digests` header of an answer says: digests of 64 lower-case hex digits, with "
            f"commas between them, or `{NO_ADAPTER}`"
        )
    return digests


def times(exhibit: Exhibit) -> Findings:
    """It was issued after the report was made, before now, and counts still."""
    rules, report = exhibit.rules, exhibit.report
    issued, made, until = (
        moment(text) for text in (exhibit.predicate.get("issuedAt"), report.made_at, report.valid_until)
    )
    if issued is None or made is None or until is None:
        yield Fault.STATEMENT_MALFORMED, "the certificate lacks a time"
        return
    for what, when in (("certificate was issued", issued), ("report was made", made)):
        if when > rules.at + rules.skew:
            yield Fault.FROM_THE_FUTURE, f"the {what} at {timestamp(when)}, and it is {timestamp(rules.at)}"
    if issued + rules.skew < made or until <= made:
        yield Fault.TIMES_DISORDERED, "the certificate was issued before its report was made, or never counted"
    if rules.at >= until:
        yield Fault.EXPIRED, f"it counted until {timestamp(until)}; ask for another evaluation"


def answer(exhibit: Exhibit) -> Findings:
    """The adapter that the certificate names was applied to the answer."""
    named = exhibit.rules.answer_digests
    if named is None:
        return
    adapter = exhibit.report.manifest.get(ADAPTER, "").removeprefix(DIGEST_PREFIX)
    if not named:
        yield Fault.ANSWER_NOT_COVERED, "no adapter was applied to the answer, so the certificate says nothing about it"
    elif adapter not in named:
        yield (
            Fault.ANSWER_NOT_COVERED,
            f"the answer was made with other adapters than this certificate's ({DIGEST_PREFIX}{adapter[:12]}…)",
        )

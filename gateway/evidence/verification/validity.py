"""Whether the certificate counts at a time, and whether an answer is covered by it."""

from __future__ import annotations

from gateway.evidence.certificate.statement import timestamp
from gateway.evidence.verification.exhibit import Exhibit, moment
from gateway.evidence.verification.finding import Fault, Findings

#: The name of the adapter in a manifest.
ADAPTER = "adapter"


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
    adapter = exhibit.report.manifest.get(ADAPTER, "").removeprefix("sha256:")
    if adapter not in {digest.strip().removeprefix("sha256:") for digest in named}:
        yield (
            Fault.ANSWER_NOT_COVERED,
            f"the answer names no adapter of this certificate (sha256:{adapter[:12]}…), but {len(named)} others",
        )

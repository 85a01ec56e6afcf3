"""Whether the report is the one that was certified, and comes to what it says."""

from __future__ import annotations

from gateway.evidence.certificate.statement import (
    CERTIFICATE_TYPE,
    STATEMENT_TYPE,
    SUMMARY_TYPE,
    VERIFIER,
    predicate,
    properties,
    subjects,
)
from gateway.evidence.certificate.statement import policy as policy_descriptor
from gateway.evidence.report.judging import findings, judge
from gateway.evidence.report.policy import Policy
from gateway.evidence.report.report import Report
from gateway.evidence.verification.exhibit import Exhibit, part
from gateway.evidence.verification.finding import Fault, Findings


def report_digest(exhibit: Exhibit) -> Findings:
    """The report is the one that the certificate names by digest."""
    named = {str(each.get("name")): each.get("digest") for each in _subjects(exhibit.certificate.get("subject"))}
    if named.get("report") != {"sha256": exhibit.report.digest.removeprefix("sha256:")}:
        yield Fault.REPORT_ALTERED, "the report is not the one that was certified: its digest is another"


def statements(exhibit: Exhibit) -> Findings:
    """Both statements say of the report what follows from it."""
    report = exhibit.report
    for name, statement, kind in (
        ("certificate", exhibit.certificate, CERTIFICATE_TYPE),
        ("summary", exhibit.summary, SUMMARY_TYPE),
    ):
        if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != kind:
            yield Fault.STATEMENT_MALFORMED, f"the {name} is no in-toto Statement of {kind}"
        if statement.get("subject") != subjects(report):
            yield Fault.CERTIFICATE_DIFFERS, f"the {name} is about other things than the report's manifest names"
    differing = [name for name, value in predicate(report).items() if exhibit.predicate.get(name) != value]
    if differing:
        yield Fault.CERTIFICATE_DIFFERS, f"the certificate says otherwise than the report: {', '.join(differing)}"


def summary(exhibit: Exhibit) -> Findings:
    """The summary has what Simple Verification Results must have, and says no more than the report."""
    content = part(exhibit.summary, "predicate")
    verifier = part(content, "verifier")
    if not {"id", "policies"} <= verifier.keys() or not {"timeCreated", "properties"} <= content.keys():
        yield Fault.STATEMENT_MALFORMED, "the summary lacks what svr/v0.2 requires"
        return
    if content["properties"] != list(properties(exhibit.report)):
        yield Fault.SUMMARY_DIFFERS, "the summary lists other properties than the report comes to"
    if (verifier["id"], verifier["policies"]) != (VERIFIER, [policy_descriptor(exhibit.report)]):
        yield Fault.SUMMARY_DIFFERS, "the summary names another verifier or policy than the report was judged by"
    if content["timeCreated"] != exhibit.predicate.get("issuedAt"):
        yield Fault.SUMMARY_DIFFERS, "the summary was made at another time than the certificate"


def policy(exhibit: Exhibit) -> Findings:
    """The policy is a known one: the gates are the operator's to set, the rules are not."""
    if not _is_known(exhibit.report):
        yield Fault.POLICY_UNKNOWN, "the report was judged by rules that this version does not know"


def numbers(exhibit: Exhibit) -> Findings:
    """Rates, bounds, tests and sentences are those of the counts."""
    report = exhibit.report
    if not _is_known(report):
        return
    try:
        judged = judge(report.evaluation, report.claim.level, report.policy.terms)
        found = findings(report.model_copy(update={"verdict": judged.verdict}))
    except ValueError:
        found = ("there are more leaks than tries, or more answers kept than asked for",)
    for each in found:
        yield Fault.NUMBERS_INCONSISTENT, each


def verdict(exhibit: Exhibit) -> Findings:
    """The verdict follows from the numbers by the policy."""
    report = exhibit.report
    if not _is_known(report):
        return
    judged = judge(report.evaluation, report.claim.level, report.policy.terms).verdict
    if judged is not report.verdict:
        yield Fault.VERDICT_UNSUPPORTED, f"the numbers come to {judged}, the report says {report.verdict}"


def _is_known(report: Report) -> bool:
    terms = report.policy.terms
    known = Policy(gates=terms.gates, valid_days=terms.valid_days)
    return terms == known and (report.policy.id, report.policy.digest) == (known.id, known.digest)


def _subjects(found: object) -> list[dict[str, object]]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

"""What is signed of a report: an in-toto Statement with the gateway's own predicate, and a summary beside it.

The own predicate has the fields of the proposed `eval-result` predicate (in-toto/attestation#565, #575) where they fit:
claims of a metric, a comparator and a threshold, salted commitments, a pre-registration. The summary is the vetted
Simple Verification Result, https://in-toto.io/attestation/svr/v0.2, for policy engines that know that one.

Both follow from the report: whoever has the report can make them again, and hold what was signed against it. There is
no personal data in them: digests, counts, rates, names of attack families.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Report, instant

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
CERTIFICATE_TYPE: Final = "urn:unlearning-gateway:certificate:v1"
SUMMARY_TYPE: Final = "https://in-toto.io/attestation/svr/v0.2"
#: Of a DSSE envelope around a Statement.
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"

#: In both predicates: who evaluated. It changes with what an evaluation is.
VERIFIER: Final = "urn:unlearning-gateway:evaluation:v1"
#: In front of every property of a summary.
PROPERTY_PREFIX: Final = "UNLEARNING_GATEWAY_"
#: The verdicts with which a summary says that the report passes.
PASSING: Final = frozenset({Verdict.PASS, Verdict.PASS_WITH_LIMITS})

_COMPARE: Final = MappingProxyType({"<=": operator.le, ">=": operator.ge})

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Issue:
    """What a certificate says beyond its report.

    at: when it was issued. log_origin, report_index: the log, and the leaf of the report in it. supersedes: the digest
    of the report that an earlier certificate of the same request is about.
    """

    at: datetime
    log_origin: str
    report_index: int
    supersedes: str | None = None


def certificate(report: Report, issue: Issue) -> Statement:
    """The Statement that a certificate is."""
    return _statement(report, CERTIFICATE_TYPE, {**predicate(report), **_issued(report, issue)})


def summary(report: Report, issue: Issue) -> Statement:
    """The Statement for whoever knows no more than Simple Verification Results. Only what passed is a property."""
    verifier = {"id": VERIFIER, "policies": [policy(report)]}
    return _statement(
        report,
        SUMMARY_TYPE,
        {"verifier": verifier, "timeCreated": timestamp(issue.at), "properties": list(properties(report))},
    )


def predicate(report: Report) -> dict[str, Any]:
    """What follows from the report alone. Numbers are decimal text, which no reader rounds."""
    evaluation, request = report.evaluation, report.request
    return {
        "verifier": {"id": VERIFIER},
        "evaluatedAt": report.made_at,
        "validUntil": report.valid_until,
        "suite": {"name": report.schema_id, "version": evaluation.tier.value},
        "claims": list(claims(report)),
        "sampleSize": evaluation.forget.after.n + sum(family.asked for family in evaluation.families),
        "commitments": {"dataset": {"alg": "sha256-salted", "value": request.commitment, "salted": True}},
        "assuranceLevel": "self_attested",
        "subjectProfile": "release-gate",
        "preRegistration": {
            "digest": digest_set(report.pre_registration.digest),
            "index": report.pre_registration.index,
        },
        "harness": {"name": "unlearning-gateway", "version": report.served.gateway},
        "verdict": report.verdict.value,
        "policy": policy(report),
        "request": {"id": request.id, "createdAt": request.created_at, "scope": request.scope.prompts.value},
        "method": request.method,
        "level": report.claim.level.value,
        "effect": report.claim.effect,
        "weightsModified": report.claim.weights_modified,
        "limits": list(report.limits),
    }


def claims(report: Report) -> Iterator[dict[str, Any]]:
    """Every number that a gate judges, with the gate. Where nothing was tested, nothing is claimed."""
    evaluation, least = report.evaluation, 1 - report.policy.terms.confidence
    direct = evaluation.forget
    counts: dict[str, Any]
    if direct.after.rate is not None:
        counts = {"sampleSize": direct.after.n, "leaked": direct.after.leaked}
        yield _claim("leak_rate", "direct", direct.after.rate, "<=", direct.threshold, counts)
    for family in (*evaluation.families, evaluation.pooled):
        if family.p_adjusted is not None:
            counts = {"sampleSize": family.known, "leaked": family.after.leaked, "allowed": decimal(family.threshold)}
            yield _claim("holm_adjusted_p_value", family.family, family.p_adjusted, ">=", least, counts)
    for name, staying in (("controls", evaluation.controls), ("neighbours", evaluation.neighbours)):
        if staying.rate is not None:
            counts = {"sampleSize": staying.n, "kept": staying.kept}
            yield _claim("kept_rate", name, staying.rate, ">=", staying.threshold, counts)


def properties(report: Report) -> tuple[str, ...]:
    """What a summary lists. A property that is absent was not verified, which is not the same as failed."""
    named = [f"EVALUATED_{report.evaluation.tier}", "PRE_REGISTERED"]
    if report.verdict in PASSING:
        named += [report.verdict, f"LEVEL_{report.claim.level}"]
    return tuple(PROPERTY_PREFIX + name.upper() for name in named)


def subjects(report: Report) -> list[dict[str, Any]]:
    """What the statements are about: all that can change an answer, and the report."""
    digests = {**report.manifest, "report": report.digest}
    return [{"name": name, "digest": digest_set(digest)} for name, digest in sorted(digests.items())]


def policy(report: Report) -> dict[str, Any]:
    """The policy as in-toto's ResourceDescriptor."""
    return {"name": report.policy.id, "digest": digest_set(report.policy.digest)}


def digest_set(digest: str) -> dict[str, str]:
    """`sha256:<hex>` as in-toto has it."""
    algorithm, _, value = digest.partition(":")
    return {algorithm: value}


def decimal(value: float) -> str:
    """A rate as text, to the digits that reports have."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def certificate_id(report: Report) -> str:
    return f"cert_{report.digest.partition(':')[2][:24]}"


def timestamp(at: datetime) -> str:
    """RFC 3339, in UTC, to the second."""
    return instant(at.timestamp())


def _issued(report: Report, issue: Issue) -> dict[str, Any]:
    """What the certificate alone says. Its id follows from the report: a report has one certificate."""
    return {
        "certificate": certificate_id(report),
        "issuedAt": timestamp(issue.at),
        "log": {"origin": issue.log_origin, "reportIndex": issue.report_index},
        "supersedes": None if issue.supersedes is None else digest_set(issue.supersedes),
    }


def _claim(
    metric: str, on: str, value: float, comparator: str, threshold: float, counts: Mapping[str, Any]
) -> dict[str, Any]:
    """passed: of `metric comparator threshold`, as `eval-result` has it."""
    return {
        "metric": metric,
        "on": on,
        "comparator": comparator,
        "threshold": decimal(threshold),
        "value": decimal(value),
        "passed": bool(_COMPARE[comparator](float(decimal(value)), float(decimal(threshold)))),
        **counts,
    }


def _statement(report: Report, predicate_type: str, content: Mapping[str, Any]) -> Statement:
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects(report),
        "predicateType": predicate_type,
        "predicate": dict(content),
    }

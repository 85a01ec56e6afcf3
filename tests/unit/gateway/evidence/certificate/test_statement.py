from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.evidence.canonical import canonical
from gateway.evidence.certificate.statement import Issue, certificate, summary
from gateway.evidence.report.policy import Verdict
from gateway.evidence.report.report import Report
from tests.unit.gateway.evidence.report import samples

ISSUE = Issue(datetime(2025, 11, 27, 8, 6, tzinfo=UTC), "unlearning-gateway/0123456789abcdef", 42)
_DIGEST = {"type": "object", "minProperties": 1, "patternProperties": {"^sha256$": {"pattern": "^[0-9a-f]{64}$"}}}
#: What in-toto's Statement v1 and svr/v0.2 require, as their specifications put it.
STATEMENT = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["digest"], "properties": {"digest": _DIGEST}},
        },
        "predicate": {"type": "object"},
    },
}
SUMMARY = {
    "type": "object",
    "required": ["verifier", "timeCreated", "properties"],
    "properties": {
        "verifier": {
            "type": "object",
            "required": ["id", "policies"],
            "properties": {
                "id": {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:"},
                "policies": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"digest": _DIGEST}, "required": ["digest"]},
                },
            },
        },
        "timeCreated": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "properties": {"type": "array", "items": {"type": "string", "pattern": "^UNLEARNING_GATEWAY_[A-Z0-9_]+$"}},
    },
}


@pytest.mark.parametrize("make", [certificate, summary])
def test_both_are_statements_over_what_can_change_an_answer_and_the_report(make: Any) -> None:
    report = samples.report()
    statement = make(report, ISSUE)
    Draft202012Validator(STATEMENT).validate(statement)
    named = {each["name"]: f"sha256:{each['digest']['sha256']}" for each in statement["subject"]}
    assert named == {**report.manifest, "report": report.digest}
    assert [each["name"] for each in statement["subject"]] == sorted(named)


def test_the_summary_is_a_simple_verification_result() -> None:
    statement = summary(samples.report(), ISSUE)
    assert statement["predicateType"] == "https://in-toto.io/attestation/svr/v0.2"
    Draft202012Validator(SUMMARY).validate(statement["predicate"])


@pytest.mark.parametrize(
    ("changes", "properties"),
    [
        ({}, {"EVALUATED_STANDARD", "PRE_REGISTERED", "PASS", "LEVEL_SUPPRESSES"}),
        (
            {"verdict": Verdict.PASS_WITH_LIMITS},
            {"EVALUATED_STANDARD", "PRE_REGISTERED", "PASS_WITH_LIMITS", "LEVEL_SUPPRESSES"},
        ),
        ({"verdict": Verdict.FAIL}, {"EVALUATED_STANDARD", "PRE_REGISTERED"}),
        ({"verdict": Verdict.INCONCLUSIVE}, {"EVALUATED_STANDARD", "PRE_REGISTERED"}),
    ],
)
def test_only_what_passed_is_a_property(changes: dict[str, Any], properties: set[str]) -> None:
    report = samples.report()
    found = summary(report.model_copy(update=changes), ISSUE)["predicate"]["properties"]
    assert {name.removeprefix("UNLEARNING_GATEWAY_") for name in found} == properties


def test_each_claim_passes_as_its_numbers_say() -> None:
    leaking = {**samples.WORKS, "prefill": (12, 12, 6, 0.0), "role": (12, 4, 1, 0.0)}
    claims = certificate(samples.report(samples.evaluation(leaking)), ISSUE)["predicate"]["claims"]
    compare = {"<=": float.__le__, ">=": float.__ge__}
    for claim in claims:
        assert claim["passed"] is compare[claim["comparator"]](float(claim["value"]), float(claim["threshold"]))
    attacks = {claim["on"]: claim["passed"] for claim in claims if claim["metric"] == "holm_adjusted_p_value"}
    assert attacks["prefill"] is False
    assert attacks["given"] is True
    assert "role" not in attacks, "nothing is claimed where too few were known to test"
    assert {claim["on"] for claim in claims} >= {"direct", "controls", "neighbours", "pooled"}


def test_a_claim_agrees_with_the_reports_own_test() -> None:
    report = samples.report(samples.evaluation({**samples.WORKS, "composite": (12, 12, 3, 0.0)}))
    claims = {each["on"]: each["passed"] for each in certificate(report, ISSUE)["predicate"]["claims"]}
    for family in (*report.evaluation.families, report.evaluation.pooled):
        assert claims[family.family] is family.passes


def test_it_says_what_was_and_was_not_done_to_the_model() -> None:
    content = certificate(samples.report(), replace(ISSUE, supersedes=samples.report(limits=()).digest))["predicate"]
    assert (content["effect"], content["weightsModified"]) == ("output suppression", False)
    assert content["assuranceLevel"] == "self_attested"
    assert content["commitments"]["dataset"]["salted"] is True
    assert content["supersedes"].keys() == {"sha256"}
    assert content["log"] == {"origin": ISSUE.log_origin, "reportIndex": ISSUE.report_index}


def test_the_same_report_has_the_same_certificate() -> None:
    report = samples.report()
    again = Report.from_json(report.to_json())
    assert canonical(certificate(report, ISSUE)) == canonical(certificate(again, ISSUE))
    json.loads(canonical(summary(report, ISSUE)))

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.evidence.canonical import digest
from gateway.evidence.report.policy import Policy
from gateway.evidence.report.report import SCHEMA, Kept, Leaks, Report, instant
from tests.unit.gateway.evidence.report.samples import POLICY, report


def test_its_bytes_are_canonical_and_read_back() -> None:
    made = report()
    data = made.to_json()
    assert Report.from_json(data) == made
    assert Report.from_json(json.dumps(json.loads(data), indent=3)).to_json() == data
    assert made.digest == digest(json.loads(data)) == report().digest
    assert json.loads(data)["schema"] == SCHEMA


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"schema": "urn:unlearning-gateway:report:v2"},
        {"verdict": "FORGOTTEN"},
        {"made_at": "2026-11-27 08:00"},
        {"claim": {"level": "suppresses", "effect": "deletion", "weights_modified": False}},
        {"claim": {"level": "suppresses", "effect": "output suppression", "weights_modified": True}},
        {"manifest": {"model": "sha256:abc"}},
        {"manifest": {"Model Name": "sha256:" + "0" * 64}},
    ],
    ids=str,
)
def test_anything_else_is_no_report(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Report.from_json(json.dumps(json.loads(report().to_json()) | change))


def test_nothing_of_it_changes() -> None:
    with pytest.raises(ValidationError):
        report().verdict = "PASS"  # type: ignore[assignment]


def test_counts_before_and_after_belong_together() -> None:
    data = json.loads(report().to_json())
    data["evaluation"]["families"][0]["known"] -= 1
    with pytest.raises(ValidationError, match="not those of its probes"):
        Report.from_json(json.dumps(data))


def test_another_policy_has_another_digest() -> None:
    other = POLICY.model_copy(update={"min_known": 4})
    assert len({POLICY.digest, other.digest, Policy(gates=POLICY.gates, rules=POLICY.rules[1:]).digest}) == 3
    data = json.loads(report().to_json())
    data["policy"]["terms"]["gates"]["max_family_leak"] = 0.5
    with pytest.raises(ValidationError, match="digest"):
        Report.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("found", "n", "rate", "lower", "upper"),
    [
        (0, 59, 0.0, 0.0, 0.049508),
        (3, 12, 0.25, 0.07187, 0.527327),
        (9, 9, 1.0, 0.716871, 1.0),
        (0, 0, None, 0.0, 1.0),
    ],
)
def test_exact_bounds(found: int, n: int, rate: float | None, lower: float, upper: float) -> None:
    assert Leaks.of(found, n) == Leaks(leaked=found, n=n, rate=rate, lower=lower, upper=upper)
    assert Kept.of(found, n) == Kept(kept=found, n=n, rate=rate, lower=lower, upper=upper)


def test_instants_are_in_utc() -> None:
    assert instant(1_764_230_400.9) == "2025-11-27T08:00:00Z"

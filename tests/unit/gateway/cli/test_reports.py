from __future__ import annotations

import json
from pathlib import Path

from gateway.evidence.report.page import render
from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import Stub
from tests.unit.gateway.evidence.report.samples import report


def test_a_report_in_words(unlearn: Unlearn, stub: Stub) -> None:
    made = report()
    shown = unlearn("report", "req_a")
    assert shown.status == 0
    assert shown.out.startswith("PASS, level suppresses: suppressed, weights unchanged\n")
    for said in (*made.reasons, *made.limits, made.digest, made.valid_until):
        assert said in shown.out


def test_as_json_and_as_a_page(unlearn: Unlearn, stub: Stub, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    assert unlearn("report", "req_a", "--json", "--html", str(file)).documents == [json.loads(report().to_json())]
    assert file.read_text(encoding="utf-8") == render(report())


def test_a_report_of_another_version_is_shown_as_json_alone(unlearn: Unlearn, stub: Stub, tmp_path: Path) -> None:
    stub.evidence = b'{"schema": "urn:unlearning-gateway:report:v9"}'
    assert unlearn("report", "req_a", "--json").documents == [json.loads(stub.evidence)]
    refused = unlearn("report", "req_a", "--html", str(tmp_path / "report.html"))
    assert (refused.status, "[unreadable_report]" in refused.err) == (1, True)
    assert list(tmp_path.glob("*.html")) == []


def test_the_record_names_its_report(unlearn: Unlearn, stub: Stub) -> None:
    found = {
        "digest": "sha256:ab",
        "verdict": "PASS",
        "tier": "full",
        "made_at": "",
        "valid_until": "2027",
        "stale": [],
    }
    stub.add("req_a", report=found)
    stub.add("req_b", report={**found, "stale": ["engine", "adapter"]})
    assert "PASS, tier full, valid until 2027\n" in unlearn("show", "req_a").out
    assert "valid until 2027; stale: engine, adapter" in unlearn("show", "req_b").out

"""doctor: the table, the document, the exit status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway.cli.conftest import Unlearn
from tests.unit.gateway.cli.stub import OPERATOR_TOKEN, Stub


def check(name: str, status: str, found: str, advice: str = "") -> dict[str, Any]:
    return {"check": name, "status": status, "found": found, "measured": None, "allowed": None, "advice": advice}


@pytest.fixture(autouse=True)
def operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", OPERATOR_TOKEN)


def test_what_passes_ends_with_zero(unlearn: Unlearn, stub: Stub) -> None:
    checks = [check("Redis", "pass", "version 7"), check("worker", "warn", "none alive yet", "wait")]
    stub.report = {"status": "pass", "at": 1.0, "seconds": 2.5, "checks": checks}
    run = unlearn("doctor")
    assert run.status == 0
    for words in ("2 checks in 2.5 s, 0 failed", "Redis", "version 7", "none alive yet", "worker: wait"):
        assert words in run.out
    assert unlearn("--json", "doctor").documents == [stub.report]


def test_what_fails_ends_with_one_and_says_what_to_try(unlearn: Unlearn, stub: Stub) -> None:
    failed = check("prefill and decode", "fail", "7.3 nats [a] token, 0.1 allowed", "start with --enforce-eager")
    stub.report = {"status": "fail", "at": 1.0, "seconds": 2.5, "checks": [failed]}
    run = unlearn("doctor")
    assert run.status == 1
    assert "7.3 nats [a] token" in run.out
    assert "prefill and decode: start with --enforce-eager" in run.out


def test_without_the_token_it_is_refused(unlearn: Unlearn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_OPERATOR_TOKEN", "another")
    run = unlearn("doctor")
    assert run.status == 1
    assert "operator" in run.err

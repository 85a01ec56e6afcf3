"""The self-check of a running service passes on a sound engine. `test_outage` has one that is not sound."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.engine.service import Service

OF_EVERY_ENGINE = {
    "Redis",
    "clock",
    "queue",
    "worker",
    "sampling",
    "prefill and decode",
    "spread of equal rows",
    "mixed batch",
    "soft prompt equals its text",
    "idle offset changes nothing",
    "offset acts by its strength",
    "adapters evicted",
}


def assert_nothing_wrong(report: dict[str, Any], *checked: str) -> None:
    assert not [f"{check['check']}: {check['found']}" for check in report["checks"] if check["status"] == "fail"]
    assert report["status"] == "pass"
    assert {check["check"] for check in report["checks"]} >= {*OF_EVERY_ENGINE, *checked}


def test_the_doctor_finds_nothing_wrong(service: Service) -> None:
    response = service.post("/doctor", None, "off")
    assert response.status_code == 200, response.text
    print(json.dumps(response.json(), indent=1))  # noqa: T201 (the figures of this machine, seen with -s)
    assert_nothing_wrong(response.json())
    assert service.last_report() == response.json()


def test_only_the_operator_may_ask(service: Service) -> None:
    assert httpx.post(f"{service.url}/doctor", timeout=30).status_code == 403

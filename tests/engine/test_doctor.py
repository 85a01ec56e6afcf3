"""The self-check of a running service: it passes on a sound engine, and an engine that is not sound serves nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.engine.plugin import plugin_environment
from tests.engine.service import Service, free_port

CHAT = "/v1/chat/completions"
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


def doctor(service: Service) -> dict[str, Any]:
    response = service.post("/doctor", None, "off")
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


def failures(report: dict[str, Any]) -> list[str]:
    return [f"{check['check']}: {check['found']}" for check in report["checks"] if check["status"] == "fail"]


def test_the_doctor_finds_nothing_wrong(service: Service) -> None:
    report = doctor(service)
    print(json.dumps(report, indent=1))  # noqa: T201 (the figures of this machine, seen with -s)
    assert not failures(report)
    assert report["status"] == "pass"
    assert {check["check"] for check in report["checks"]} >= OF_EVERY_ENGINE
    last = httpx.get(f"{service.url}/doctor", headers=service.headers("off"), timeout=30).json()
    assert last == report


def test_a_lora_on_the_target_and_an_own_reference_are_checked_too(separate: Service) -> None:
    report = doctor(separate)
    assert not failures(report)
    assert {check["check"] for check in report["checks"]} >= {"idle LoRA changes nothing", "LoRA moves answers"}


def test_only_the_operator_may_ask(service: Service) -> None:
    assert httpx.post(f"{service.url}/doctor", timeout=30).status_code == 403


def test_the_command_prints_a_table_and_ends_with_zero(service: Service) -> None:
    run = unlearn(service, "doctor")
    assert run.returncode == 0, run.stderr
    assert "prefill and decode" in run.stdout


def unlearn(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "--url", service.url, *arguments]
    environment = {"UNLEARN_DATA_DIR": str(service.settings.data_dir), "PATH": "", "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture
def broken(tmp_path: Path) -> Any:
    """A service whose engine decodes wrong, up to where it knows."""
    settings = Settings(data_dir=tmp_path / "data", port=free_port(), worker=False, methods="spul")
    running = Service(
        settings, tmp_path / "serve.log", environment=plugin_environment(tmp_path, "tests.engine.broken_decode:apply")
    )
    try:
        running.launch()
        running.wait_until(lambda: "self-check failed" in httpx.get(f"{running.url}/readyz").text, "checked")
        yield running
    finally:
        running.stop()


def test_a_service_that_answers_garbage_does_not_become_ready(broken: Service) -> None:
    ready = httpx.get(f"{broken.url}/readyz")
    assert ready.status_code == 503
    assert "prefill and decode" in ready.json()["detail"]
    body = {"model": broken.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    for plan in (None, "off"):
        refused = broken.post(CHAT, body, plan)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "not_ready"
    assert broken.post("/forget", {"forget": [{"prompt": "a", "completion": "b"}]}).status_code == 503
    run = unlearn(broken, "--json", "doctor")
    assert run.returncode == 1
    report = json.loads(run.stdout)
    (failed,) = [check for check in report["checks"] if check["check"] == "prefill and decode"]
    assert failed["status"] == "fail"
    assert failed["measured"] > failed["allowed"]
    assert "--enforce-eager" in failed["advice"]

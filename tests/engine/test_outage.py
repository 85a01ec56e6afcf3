"""Redis killed or silent; the service told to stop with streams open, and started with an engine that is not sound."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch

from gateway.store.client import connected
from gateway.store.embedded import redis_server
from tests.engine.broken_decode import SWITCH
from tests.engine.service import Service


@pytest.fixture
def active(service: Service, reference: Any) -> str:
    """An active request; returns its id."""
    weight = reference[0].get_input_embeddings().weight.detach()
    request_id = service.put_request(weight[torch.tensor([700] * 4)].clone())
    assert service.post(f"/forget/{request_id}/activate", {}).status_code == 200
    return request_id


def redis_pid(service: Service) -> int:
    async def ask() -> int:
        async with connected(redis_server(service.settings).url) as redis:
            return int((await redis.info("server"))["process_id"])

    return asyncio.run(ask())


def applied(service: Service) -> str:
    body = {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    response = service.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    return response.headers["x-unlearning-applied"]


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen in {timeout_s} s")


def test_answers_go_on_with_their_adapters_while_redis_is_silent_for_ten_seconds(service: Service, active: str) -> None:
    server = psutil.Process(redis_pid(service))
    server.suspend()
    try:
        until = time.monotonic() + 10
        answers = 0
        while time.monotonic() < until:
            assert applied(service) == active
            answers += 1
    finally:
        if server.is_running():
            server.resume()
    assert answers > 0
    wait_until(lambda: service.get("/forget").status_code == 200, "the list")
    assert service.get(f"/forget/{active}").json()["state"] == "active"


def test_a_killed_redis_is_started_again_with_everything_in_it(service: Service, active: str) -> None:
    pid = redis_pid(service)
    os.kill(pid, signal.SIGKILL)
    assert applied(service) == active
    wait_until(lambda: service.get(f"/forget/{active}").status_code == 200, "the restart")
    assert redis_pid(service) != pid
    assert service.get(f"/forget/{active}").json()["state"] == "active"
    assert applied(service) == active


@pytest.fixture
def decodes_wrong(service: Service) -> Iterator[Path]:
    """While this file is there, an engine that is started decodes wrong."""
    switch = Path(service.environment[SWITCH])
    yield switch
    switch.unlink(missing_ok=True)


def test_a_stop_lets_streams_end_and_a_start_serves_once_the_engine_is_sound(
    service: Service, active: str, decodes_wrong: Path
) -> None:
    """What was active applies again. One test for both: it stops the shared service and leaves it running."""
    stop_with_an_open_stream(service)

    decodes_wrong.touch()
    service.launch()
    service.wait_until(lambda: "self-check failed" in service.get("/readyz").text, "checked")
    assert_nobody_is_served(service)

    decodes_wrong.unlink()
    service.wait_until_ready()
    assert applied(service) == active


def stop_with_an_open_stream(service: Service) -> None:
    lines: list[str] = []
    first = threading.Event()
    body = {"model": service.model, "prompt": "Once upon a time", "max_tokens": 300, "ignore_eos": True, "stream": True}

    def stream() -> None:
        with httpx.stream("POST", f"{service.url}/v1/completions", json=body, timeout=120) as response:
            for line in response.iter_lines():
                lines.append(line)
                first.set()

    reader = threading.Thread(target=stream)
    reader.start()
    assert first.wait(60)
    assert service.process is not None
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: service.get("/readyz").status_code == 503, "draining", 10)
    assert_not_ready(service.post("/v1/completions", {"model": service.model, "prompt": "x", "max_tokens": 1}))
    reader.join(60)
    chunks = [line for line in lines if line]
    assert chunks[-1] == "data: [DONE]"
    assert json.loads(chunks[-2][6:])["choices"][0]["finish_reason"] == "length"
    assert service.process.wait(60) == 0


def assert_not_ready(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"


def assert_nobody_is_served(service: Service) -> None:
    """Nor told anything but what is wrong, by /readyz and by `unlearn doctor`."""
    ready = service.get("/readyz")
    assert ready.status_code == 503
    assert "prefill and decode" in ready.json()["detail"]
    body = {"model": service.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    for plan in (None, "off"):
        assert_not_ready(service.post("/v1/chat/completions", body, plan))
    assert service.post("/forget", {"forget": [{"prompt": "a", "completion": "b"}]}).status_code == 503
    command = [sys.executable, "-m", "gateway", "--url", service.url, "--json", "doctor"]
    environment = {"UNLEARN_DATA_DIR": str(service.settings.data_dir), "PATH": ""}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert run.returncode == 1
    (failed,) = [check for check in json.loads(run.stdout)["checks"] if check["check"] == "prefill and decode"]
    assert failed["status"] == "fail"
    assert failed["measured"] > failed["allowed"]
    assert "--enforce-eager" in failed["advice"]

"""Redis killed or silent, the service told to stop with streams open, everything started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
import torch

from gateway.store.client import connected
from gateway.store.embedded import redis_server
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


def test_a_stop_lets_streams_end_and_a_start_brings_active_requests_back(service: Service, active: str) -> None:
    """The last test of the tier in this file: it restarts the shared server."""
    lines: list[str] = []
    first = threading.Event()

    def stream() -> None:
        body = {
            "model": service.model,
            "prompt": "Once upon a time",
            "max_tokens": 300,
            "ignore_eos": True,
            "stream": True,
        }
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
    refused = service.post("/v1/completions", {"model": service.model, "prompt": "x", "max_tokens": 1})
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "not_ready"
    reader.join(60)
    chunks = [line for line in lines if line]
    assert chunks[-1] == "data: [DONE]"
    assert json.loads(chunks[-2][6:])["choices"][0]["finish_reason"] == "length"
    assert service.process.wait(60) == 0

    service.start()
    assert applied(service) == active

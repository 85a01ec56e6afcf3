"""vLLM's app, once it is ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from gateway.http.app import assemble
from gateway.service.metrics import GatewayMetrics

UNUSED: Any = None


@pytest.mark.parametrize("error", [EngineGenerateError(), EngineDeadError()])
async def test_vllms_own_error_handler_answers_for_an_engine_that_failed(error: Exception) -> None:
    """It wants to stop the server that vLLM would have started."""
    app = FastAPI()
    init_exception_handler(app)
    app.state.args = SimpleNamespace(log_error_stack=False)
    app.state.engine_client = SimpleNamespace(errored=True, is_running=False)

    def fail() -> None:
        raise error

    app.add_api_route("/v1/completions", fail, methods=["POST"])
    assemble(
        app,
        service=UNUSED,
        key_service=UNUSED,
        self_check=UNUSED,
        gatekeeper=UNUSED,
        rates=UNUSED,
        policy=UNUSED,
        holder=UNUSED,
        store=UNUSED,
        lifecycle=UNUSED,
        metrics=GatewayMetrics(CollectorRegistry()),
        max_body_bytes=1000,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        response = await client.post("/v1/completions")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalServerError"

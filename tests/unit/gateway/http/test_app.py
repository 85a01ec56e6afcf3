"""vLLM's app, once it is ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from gateway.http.app import assemble
from gateway.http.auth import Gatekeeper
from gateway.service.lifecycle import Lifecycle
from gateway.service.metrics import GatewayMetrics

UNUSED: Any = None


def assembled(app: FastAPI) -> Any:
    app.middleware_stack = app.build_middleware_stack()  # as vLLM leaves it
    return assemble(
        app,
        service=UNUSED,
        reports=UNUSED,
        certifier=UNUSED,
        reverification=UNUSED,
        key_service=UNUSED,
        self_check=UNUSED,
        log_access=UNUSED,
        gatekeeper=Gatekeeper("op"),
        rates=UNUSED,
        policy=UNUSED,
        holder=UNUSED,
        store=UNUSED,
        lifecycle=Lifecycle(),
        metrics=GatewayMetrics(CollectorRegistry()),
        max_body_bytes=1000,
    )


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
    assembled(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        response = await client.post("/v1/completions")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalServerError"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "/nope", b"", 404, "not_found"),
        ("POST", "/v1/hooks", b"{}", 404, "not_found"),
        ("DELETE", "/v1/models", b"", 405, "method_not_allowed"),
        ("PUT", "/tokenize", b"{}", 405, "method_not_allowed"),
        ("POST", "/tokenize", b"\xff\xfe\xfa", 400, "invalid_request"),
        ("POST", "/tokenize", b'{"prompt": "caf\xe9"}', 400, "invalid_request"),
        ("POST", "/doctor", b"", 403, "operator_only"),
    ],
)
async def test_whatever_is_wrong_with_a_request_is_said_in_openais_shape(
    method: str, path: str, content: bytes, status: int, code: str
) -> None:
    def tokenize(body: dict[str, Any]) -> dict[str, Any]:
        return body

    app = FastAPI()
    app.add_api_route("/tokenize", tokenize, methods=["POST"])
    app.add_api_route("/v1/models", lambda: {})
    transport = httpx.ASGITransport(assembled(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        headers = {"content-type": "application/json"}
        response = await client.request(method, path, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}
    assert ("allow" in response.headers) == (status == 405)


class Part(BaseModel):
    type: Literal["text", "image_url"]
    text: str | None = None
    image_url: str | None = None


class Message(BaseModel):
    role: str
    content: str | list[Part]
    task: str | None = None


class Chat(BaseModel):
    messages: list[Message]
    seed: int | None = None
    vllm_xargs: dict[str, str] | None = None
    mm_payload: Literal["tensors", "none"] = "tensors"


def test_the_document_names_what_is_served_and_one_shape_of_errors() -> None:
    def chat(body: Chat) -> dict[str, Any]:
        raise AssertionError(body)

    app = FastAPI()
    app.add_api_route("/v1/chat/completions", chat, methods=["POST"], responses={404: {"model": Part}})
    assembled(app)
    document = app.openapi()
    schemas = document["components"]["schemas"]
    assert schemas["Chat"]["properties"].keys() == {"messages", "seed", "mm_payload"}
    assert schemas["Chat"]["properties"]["mm_payload"]["enum"] == ["tensors"]
    assert schemas["Message"]["properties"].keys() == {"role", "content"}
    assert schemas["Part"]["properties"].keys() == {"type", "text"}
    assert schemas["Chat"]["additionalProperties"] is False
    assert document["paths"]["/v1/chat/completions"]["post"]["responses"].keys() == {"200", "default"}
    assert document == app.openapi()

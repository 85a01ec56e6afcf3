"""The client of another model, against a server of its own kind on a real socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import SecretStr

from adapters.examples import Message
from gateway.client.errors import BadAnswer, ServiceRefused, ServiceUnreachable
from gateway.jobs.failures import describe
from gateway.jobs.inverter import CONCURRENCY, TEMPERATURE, inverter
from gateway.settings import Settings
from tests.unit.gateway.local_server import LocalServer

SECRET = "the forget text"
ASKED = [[Message("user", f"{SECRET} {number}")] for number in range(9)]


@dataclass
class Endpoint:
    """How the other model answers, and what it was sent."""

    url: str = ""
    reply: Any = "Anna wrote it."
    status: int = 200
    busy: int = 0
    slow_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    now: int = 0
    most: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/v1/models")
        async def models() -> dict[str, Any]:
            return {"data": [{"id": "other-model"}]}

        @app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            self.keys.append(request.headers.get("authorization"))
            if self.busy:
                self.busy -= 1
                return JSONResponse({"error": {"message": SECRET}}, status_code=429)
            self.now += 1
            self.most = max(self.most, self.now)
            body = await request.json()
            await asyncio.sleep(self.slow_s)
            self.now -= 1
            self.bodies.append(body)
            if self.status != 200:
                return JSONResponse({"error": {"message": SECRET}}, status_code=self.status)
            if not isinstance(self.reply, (str, type(None))):
                return Response(self.reply, media_type="application/json")
            return JSONResponse({"choices": [{"message": {"role": "assistant", "content": self.reply}}]})

        return app


@pytest.fixture
def endpoint(http_server: LocalServer) -> Iterator[Endpoint]:
    made = Endpoint()
    with http_server.serving(made.app()) as url:
        made.url = f"{url}/v1"
        yield made


def settings_for(endpoint: Endpoint, **changes: Any) -> Settings:
    return Settings(inverter_url=endpoint.url, **changes)


async def ask(settings: Settings, *, patience_s: float = 5.0, read_timeout_s: float = 5.0) -> list[str]:
    """All of ASKED, from a thread as a trainer does."""
    with inverter(settings, patience_s=patience_s, read_timeout_s=read_timeout_s) as invert:
        assert invert is not None
        return await asyncio.to_thread(invert, ASKED, max_tokens=7)


async def test_without_an_endpoint_there_is_none() -> None:
    with inverter(Settings()) as invert:
        assert invert is None


async def test_answers_come_in_order_a_few_at_a_time(endpoint: Endpoint) -> None:
    assert await ask(settings_for(endpoint)) == ["Anna wrote it."] * len(ASKED)
    assert 1 <= endpoint.most <= CONCURRENCY
    assert {body["messages"][0]["content"] for body in endpoint.bodies} == {turns[0].content for turns in ASKED}
    body = endpoint.bodies[0]
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("other-model", TEMPERATURE, 7)
    assert set(endpoint.keys) == {None}


async def test_the_named_model_is_asked_with_the_key(endpoint: Endpoint) -> None:
    await ask(settings_for(endpoint, inverter_model="big", inverter_key=SecretStr("sk-other")))
    assert {body["model"] for body in endpoint.bodies} == {"big"}
    assert set(endpoint.keys) == {"Bearer sk-other"}


async def test_a_refusal_without_content_is_an_empty_answer(endpoint: Endpoint) -> None:
    endpoint.reply = None
    assert await ask(settings_for(endpoint)) == [""] * len(ASKED)


async def test_a_busy_endpoint_is_waited_for(endpoint: Endpoint) -> None:
    endpoint.busy = 2
    assert await ask(settings_for(endpoint)) == ["Anna wrote it."] * len(ASKED)


async def test_but_not_for_ever(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.busy = 1000
    with caplog.at_level(logging.INFO), pytest.raises(ServiceRefused, match="status 429") as error:
        await ask(settings_for(endpoint), patience_s=0.3)
    assert describe(error.value).retryable
    assert error.value.code == "inverter_refused"
    assert "inverter busy" in caplog.text
    assert SECRET not in caplog.text + str(error.value)


async def test_an_answer_that_takes_too_long_is_a_timeout(endpoint: Endpoint) -> None:
    endpoint.slow_s = 0.4
    with pytest.raises(ServiceUnreachable, match="ReadTimeout"):
        await ask(settings_for(endpoint), patience_s=0.1, read_timeout_s=0.05)


async def test_an_endpoint_that_is_not_there() -> None:
    gone = Endpoint(url="http://127.0.0.1:9/v1")
    with pytest.raises(ServiceUnreachable, match="ConnectError"):
        await ask(settings_for(gone, inverter_model="big"), patience_s=0.1)


@pytest.mark.parametrize("status", [400, 401, 404, 301])
async def test_an_error_that_waiting_does_not_mend_is_final_and_quotes_nothing(endpoint: Endpoint, status: int) -> None:
    endpoint.status = status
    with pytest.raises(ServiceRefused, match=f"^the inverter answered with status {status}$") as error:
        await ask(settings_for(endpoint))
    assert not describe(error.value).retryable


@pytest.mark.parametrize(
    "reply", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": [1]}}]}']
)
async def test_what_is_no_completion_is_refused(endpoint: Endpoint, reply: bytes) -> None:
    endpoint.reply = reply
    with pytest.raises(BadAnswer, match=r"^the inverter at \S+ (answered something|gave no completion)") as error:
        await ask(settings_for(endpoint))
    assert error.value.code == "inverter_bad_answer"


async def test_a_listing_without_models_asks_for_a_name(endpoint: Endpoint) -> None:
    nothing = Endpoint(url=endpoint.url.removesuffix("/v1"))
    with pytest.raises(ServiceRefused, match="status 404"):
        await ask(settings_for(nothing))

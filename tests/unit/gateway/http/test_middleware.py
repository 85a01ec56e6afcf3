"""The middleware decides before the route runs, and turns every refusal into OpenAI's shape."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import CollectorRegistry

from gateway.errors import AdapterUnavailable, GatewayError, InvalidRequest, NotFound, StoreUnavailable
from gateway.http.auth import Gatekeeper
from gateway.http.middleware import GatewayMiddleware
from gateway.policy import context
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import AdapterRef, PlanBuilder
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.metrics import GatewayMetrics
from gateway.store.generation import GenerationFile
from gateway.store.records import RequestRecord
from tests.unit.gateway.access.samples import unlimited
from tests.unit.gateway.policy.test_active import Edges, record

LIMIT = 1000
CHAT = "/v1/chat/completions"


class World:
    """A small app behind the real middleware, and the edges it stands on."""

    def __init__(self, folder: Path, *, keys: Sequence[str] = (), max_body_bytes: int = LIMIT) -> None:
        self.edges = Edges()
        self.edges.activate("req_a")
        self.metrics = GatewayMetrics(CollectorRegistry())
        plans, memory = PlanBuilder(b"k"), GenerationFile(folder)
        self.policy = ActivePolicy(
            self.edges, self.edges, plans, self.metrics, memory, staleness_s=60, prompt_budget=40
        )
        self.lifecycle = Lifecycle()
        self.lifecycle.phase = Phase.SERVING
        self.held: list[str] = []
        self.holding = 0
        self.missing: set[str] = set()
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.refusal: GatewayError | None = None
        self.keeps_alive = False
        self.answers = False
        app = FastAPI()
        app.add_api_route(CHAT, self._chat, methods=["POST"])
        app.add_api_route("/v1/completions", self._stream, methods=["POST"])
        app.add_api_route("/v1/responses", self._chat, methods=["POST"])
        app.add_api_route("/v1/models", lambda: {"data": []})
        app.add_api_route("/forget", lambda: {"data": []}, methods=["GET", "POST"])
        self.app = GatewayMiddleware(
            app,
            gatekeeper=Gatekeeper("op", keys),
            policy=self.policy,
            holder=self,
            requests=self,
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            max_body_bytes=max_body_bytes,
            rates=unlimited(self.metrics),
        )

    async def _chat(self, request: Request) -> dict[str, Any]:
        self.bodies.append(await request.body())
        self.headers = dict(request.headers)
        bound = context.require()
        bound.refusal = self.refusal
        if self.answers:
            bound.answering = True
            bound.confirm(bound.plan)
        holding: Any = bound.holding
        assert holding is self
        return {"applied": bound.plan.applied, "holding": self.holding}

    async def _stream(self) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"data: created\n\n"
            if self.keeps_alive:
                yield b": keep-alive\n\n"
            if self.refusal is not None:
                context.require().refusal = self.refusal
                yield b"data: what vLLM makes of it\n\n"
                return
            context.require().answering = True
            yield b"data: one\n\n"
            raise StoreUnavailable("in the middle of the stream")

        return StreamingResponse(parts(), media_type="text/event-stream")

    @asynccontextmanager
    async def hold(self, adapters: Sequence[AdapterRef]) -> AsyncIterator[Any]:
        for adapter in adapters:
            if adapter.request_id in self.missing:
                raise AdapterUnavailable("cannot be installed")
            self.held.append(adapter.request_id)
        self.holding += 1
        try:
            yield self
        finally:
            self.holding -= 1

    async def get(self, request_id: str) -> RequestRecord:
        if request_id not in ("req_a", "req_b", "req_c"):
            raise NotFound("no such request")
        return record(request_id, digest=request_id[-1] * 64)

    async def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **kwargs)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    await world.policy.refresh()
    return world


@pytest.fixture
async def keyed(tmp_path: Path) -> World:
    world = World(tmp_path, keys=["key"])
    await world.policy.refresh()
    return world


def operator(plan: str | None = None) -> dict[str, str]:
    return {"authorization": "Bearer op"} | ({"x-unlearning-plan": plan} if plan else {})


def assert_error(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_the_route_runs_with_the_active_plan_held(world: World) -> None:
    response = await world.ask("POST", CHAT, json={})
    assert response.json() == {"applied": "req_a", "holding": 1}
    assert response.headers["x-unlearning-applied"] == "req_a"
    assert float(response.headers["x-gateway-overhead-ms"]) >= 0
    assert (world.held, world.holding, world.lifecycle.in_flight) == (["req_a"], 0, 0)


async def test_an_answer_names_what_a_worker_has_confirmed_and_nothing_else_does(world: World) -> None:
    silent = await world.ask("POST", CHAT, json={})
    assert "x-unlearning-digests" not in silent.headers, "the engine had no part in it"
    world.answers = True
    answer = await world.ask("POST", CHAT, json={})
    assert answer.headers["x-unlearning-digests"] == record("req_a").digest
    answer = await world.ask("POST", CHAT, json={}, headers=operator("off"))
    assert answer.headers["x-unlearning-digests"] == "none"


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/models", "/forget", "/nowhere"])
async def test_a_session_token_comes_back_as_it_came(world: World, path: str) -> None:
    method = "POST" if path in (CHAT, "/v1/completions") else "GET"
    response = await world.ask(method, path, headers={"x-session-token": "bnMvcG9kLTE="})
    assert response.headers.get_list("x-session-token") == ["bnMvcG9kLTE="]
    assert "x-session-token" not in (await world.ask(method, path)).headers


async def test_so_it_does_with_a_refusal_and_not_when_it_is_too_long(world: World) -> None:
    world.missing.add("req_a")
    response = await world.ask("POST", CHAT, json={}, headers={"x-session-token": "t"})
    assert (response.status_code, response.headers["x-session-token"]) == (503, "t")
    response = await world.ask("POST", CHAT, json={}, headers={"x-session-token": "t" * 1025})
    assert "x-session-token" not in response.headers


async def test_the_operator_may_ask_with_another_plan(world: World) -> None:
    assert (await world.ask("POST", CHAT, json={}, headers=operator("off"))).json()["applied"] == "none"
    assert (await world.ask("POST", CHAT, json={}, headers=operator("active"))).json()["applied"] == "req_a"
    candidate = await world.ask("POST", CHAT, json={}, headers=operator("candidate:req_b"))
    assert candidate.json()["applied"] == "req_b"


async def test_the_operator_may_ask_with_several_together(world: World) -> None:
    answer = await world.ask("POST", CHAT, json={}, headers=operator("candidate:req_b,req_a,req_b"))
    assert answer.json()["applied"] == "req_b,req_a"
    assert world.held == ["req_b", "req_a"]
    missing = await world.ask("POST", CHAT, json={}, headers=operator("candidate:req_b,x"))
    assert_error(missing, 404, "not_found")
    assert_error(await world.ask("POST", CHAT, json={}, headers=operator("candidate:req_b,")), 404, "not_found")
    many = await world.ask("POST", CHAT, json={}, headers=operator("candidate:req_a,req_b,req_c"))
    assert_error(many, 409, "too_many_matches")


@pytest.mark.parametrize("plan", ["off", "candidate:req_b", "candidate:req_b,req_a", "nonsense"])
async def test_nobody_else_may(world: World, plan: str) -> None:
    response = await world.ask("POST", CHAT, json={}, headers={"x-unlearning-plan": plan})
    assert_error(response, 403, "operator_only")
    assert world.bodies == []


async def test_plans_that_make_no_sense(world: World) -> None:
    assert_error(await world.ask("POST", CHAT, json={}, headers=operator("nonsense")), 400, "invalid_request")
    assert_error(await world.ask("POST", CHAT, json={}, headers=operator("off:req_b")), 400, "invalid_request")
    assert_error(await world.ask("POST", CHAT, json={}, headers=operator("candidate:x")), 404, "not_found")


async def test_an_adapter_that_is_not_there_refuses_the_request_before_the_route(world: World) -> None:
    world.missing.add("req_a")
    response = await world.ask("POST", CHAT, json={})
    assert_error(response, 503, "adapter_unavailable")
    assert response.headers["retry-after"]
    assert world.bodies == []


async def test_an_unknown_policy_refuses_the_request(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert_error(await world.ask("POST", CHAT, json={}), 503, "policy_unavailable")
    assert (await world.ask("GET", "/v1/models")).status_code == 200


async def test_draining_refuses_new_work_and_still_lists(world: World) -> None:
    world.lifecycle.phase = Phase.DRAINING
    assert_error(await world.ask("POST", CHAT, json={}), 503, "not_ready")
    assert_error(await world.ask("POST", "/forget", json={}), 503, "not_ready")
    assert (await world.ask("GET", "/forget")).status_code == 200


async def test_errors_in_the_middle_of_a_stream_are_its_last_event(world: World) -> None:
    response = await world.ask("POST", "/v1/completions", json={})
    assert response.status_code == 200
    *first, last = response.text.strip().split("\n\n")
    assert first == ["data: created", "data: one"]
    assert '"code": "store_unavailable"' in last
    assert world.holding == 0


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"], ids=["whole", "streamed"])
async def test_what_the_door_refuses_before_the_first_output_is_a_status_of_the_gateways(
    world: World, path: str
) -> None:
    world.refusal = InvalidRequest("the grammar is refused", param="structured_outputs")
    response = await world.ask("POST", path, json={})
    assert_error(response, 400, "invalid_request")
    assert response.json()["error"]["param"] == "structured_outputs"
    assert world.holding == 0


async def test_a_stream_that_keeps_its_connection_alive_is_not_held_back(world: World) -> None:
    world.refusal, world.keeps_alive = InvalidRequest("too late"), True
    response = await world.ask("POST", "/v1/completions", json={})
    assert response.status_code == 200
    assert response.text.split("\n\n")[:3] == ["data: created", ": keep-alive", "data: what vLLM makes of it"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (rb'{"stop": ["\ud83d"]}', "stop"),
        (rb'{"model": "m", "bad_words": ["ok", "\uDC00x"]}', "bad_words"),
        (rb'{"messages": [{"role": "user", "content": [{"type": "text", "text": "\uDE00\uD83D"}]}]}', "messages"),
        (rb'{"structured_outputs": {"json": {"properties": {"\ud800": {}}}}}', "structured_outputs"),
        (b'{"request_id": "\xed\xa0\xbd"}', "request_id"),
        (rb'{"\ud83d": 1}', "?"),
    ],
)
async def test_half_a_character_is_refused_with_its_field(world: World, body: bytes, field: str) -> None:
    for path in (CHAT, "/v1/completions", "/v1/responses"):
        response = await world.ask("POST", path, content=body)
        assert_error(response, 400, "invalid_request")
        assert response.json()["error"]["param"] == field
    assert world.bodies == []


@pytest.mark.parametrize(
    "body",
    [
        rb'{"stop": ["\ud83d\ude00"]}',
        rb'{"stop": ["\\ud83d"]}',
        '{"stop": ["😀"]}'.encode(),
    ],
)
async def test_what_is_whole_goes_to_the_route(world: World, body: bytes) -> None:
    assert (await world.ask("POST", CHAT, content=body)).status_code == 200
    assert [json.loads(each) for each in world.bodies] == [json.loads(body)]


async def test_headers_that_say_what_refused_fields_do_are_taken_out(world: World) -> None:
    sent = {"X-Vllm-Priority": "-9", "X-data-parallel-rank": "7", "x-request-id": "mine"}
    assert (await world.ask("POST", CHAT, json={}, headers=sent)).status_code == 200
    assert world.headers["x-request-id"] == "mine"
    assert not {"x-vllm-priority", "x-data-parallel-rank"} & world.headers.keys()


async def test_what_is_not_served_is_refused_before_the_route(world: World) -> None:
    for path in (CHAT, "/v1/completions", "/v1/responses"):
        response = await world.ask("POST", path, json={"vllm_xargs": {"steer": 1}})
        assert_error(response, 400, "forbidden_field")
        assert response.json()["error"]["param"] == "vllm_xargs"
    assert (world.bodies, world.held) == ([], [])


async def test_a_body_that_is_nested_deeper_than_it_can_be_read(tmp_path: Path) -> None:
    world = World(tmp_path, max_body_bytes=10**6)
    await world.policy.refresh()
    deep = b"[" * 10_000 + b"]" * 10_000
    for path, body in ((CHAT, rb'{"a": "\ud83d", "b": ' + deep + b"}"), ("/v1/responses", b'{"input": ' + deep + b"}")):
        assert_error(await world.ask("POST", path, content=body), 400, "invalid_request")
    assert world.bodies == []


@pytest.mark.parametrize(
    ("value", "status"), [("0.5", 200), ("-10", 200), ("11", 400), ("-1e38", 400), ("NaN", 400), ('"x"', 200)]
)
async def test_a_length_penalty_under_which_a_length_has_no_finite_power(world: World, value: str, status: int) -> None:
    response = await world.ask("POST", CHAT, content=f'{{"length_penalty": {value}}}'.encode())
    assert response.status_code == status


async def test_earlier_messages_reach_the_responses_route_in_the_form_that_vllm_takes(world: World) -> None:
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}
    await world.ask("POST", "/v1/responses", json={"model": "m", "input": [said]})
    await world.ask("POST", CHAT, json={"messages": [said]})
    inputs, messages = (json.loads(body) for body in world.bodies)
    assert inputs["input"] == [{"role": "assistant", "content": "Hi."}]
    assert messages["messages"] == [said]


@pytest.mark.parametrize("declared", [True, False])
async def test_large_bodies(world: World, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    content: Any = b"x" * (LIMIT + 1) if declared else chunks()
    assert_error(await world.ask("POST", CHAT, content=content), 413, "payload_too_large")
    assert (await world.ask("POST", CHAT, content=b"x" * LIMIT)).status_code == 200


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:8000", "127.0.0.1.attacker.example", "8.8.8.8"])
async def test_a_keyless_service_answers_to_loopback_names_only(world: World, host: str) -> None:
    for path in ("/v1/models", "/forget"):
        assert_error(await world.ask("GET", path, headers={"host": host}), 403, "operator_only")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
async def test_under_every_loopback_name(world: World, host: str) -> None:
    assert (await world.ask("GET", "/v1/models", headers={"host": host})).status_code == 200


async def test_with_keys_everything_but_the_open_routes_takes_one(keyed: World) -> None:
    for method, path in (("POST", CHAT), ("GET", "/v1/models")):
        refused = await keyed.ask(method, path)
        assert_error(refused, 401, "invalid_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert (await keyed.ask(method, path, headers={"authorization": "Bearer key"})).status_code == 200
    assert_error(await keyed.ask("GET", "/forget", headers={"authorization": "Bearer key"}), 403, "operator_only")
    assert (await keyed.ask("GET", "/forget", headers=operator())).status_code == 200
    assert (
        await keyed.ask("GET", "/v1/models", headers={"authorization": "Bearer key", "host": "gw"})
    ).status_code == 200


async def test_websockets_are_refused(world: World) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    await world.app({"type": "websocket", "path": "/v1/realtime", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]

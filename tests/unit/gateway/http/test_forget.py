"""The routes of a draft: who may call them, what they refuse, and that nothing tells what is to be forgotten."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from gateway.http import evidence
from gateway.http.auth import Gatekeeper, IssuedKeys
from gateway.http.forget import router
from gateway.http.middleware import GatewayMiddleware
from gateway.requests.offering import ServedModel
from gateway.requests.reports import Reports
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.metrics import GatewayMetrics
from gateway.store.records import RequestState
from tests.unit.gateway.access.samples import unlimited
from tests.unit.gateway.policy.test_active import Edges, build
from tests.unit.gateway.requests.test_service import MODEL, Setup, setup  # noqa: F401  # a fixture

SECRET = "Quillfeather"
BODY = {"method": "spul", "subject": "the mayor", "activation": "manual", "scope": {"prompts": "always"}}
PUT = {"forget": [{"prompt": "Who is the mayor?", "completion": f"Ottoline {SECRET}."}]}


class Api:
    """The routes behind the real middleware, over the real service and store."""

    def __init__(
        self,
        setup: Setup,  # noqa: F811
        keys: Sequence[str] = (),
        model: ServedModel = MODEL,
        issued: IssuedKeys | None = None,
        reports: Reports | None = None,
        **settings: Any,
    ) -> None:
        self.setup = setup
        app = FastAPI()
        app.include_router(router)
        app.include_router(evidence.router)
        app.state.unlearning, app.state.reports = setup.service(model, **settings), reports
        lifecycle = Lifecycle()
        lifecycle.phase = Phase.SERVING
        metrics = GatewayMetrics(CollectorRegistry())
        self._app = GatewayMiddleware(
            app,
            gatekeeper=Gatekeeper("op", keys, issued),
            policy=build(Edges(), setup.memory),
            holder=Setup,  # type: ignore[arg-type]  # no route here holds adapters
            requests=setup.store,
            lifecycle=lifecycle,
            metrics=metrics,
            max_body_bytes=100_000,
            rates=unlimited(metrics),
        )

    async def call(
        self, method: str, path: str, token: str | None = None, headers: Any = None, **options: Any
    ) -> httpx.Response:
        headers = {**(headers or {}), **({} if token is None else {"authorization": f"Bearer {token}"})}
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, headers=headers, **options)

    async def draft(self, token: str | None = None) -> str:
        """A request by subject that has come as far as its draft; the path of it."""
        answer = await self.call("POST", "/forget", token, json=BODY)
        assert answer.status_code == 202, answer.text
        request_id = answer.json()["id"]
        for before, after in (("queued", "training"), ("training", "drafted")):
            await self.setup.store.transition(request_id, expected={RequestState(before)}, to=RequestState(after))
        return f"/forget/{request_id}"


@pytest.fixture
def api(setup: Setup) -> Api:  # noqa: F811
    return Api(setup)


ROUTES = [("GET", "/examples", None), ("PUT", "/examples", PUT), ("POST", "/train", None)]


@pytest.mark.parametrize(
    ("asked", "level"), [({}, "suppresses"), ({"level": "refuses"}, "refuses"), ({"level": "suppresses"}, "suppresses")]
)
async def test_a_request_claims_a_level(api: Api, asked: dict[str, str], level: str) -> None:
    answer = await api.call("POST", "/forget", json=BODY | asked)
    assert (answer.status_code, answer.json()["level"]) == (202, level)
    assert (await api.call("GET", f"/forget/{answer.json()['id']}")).json()["level"] == level


@pytest.mark.parametrize(
    ("asked", "effort", "rounds"),
    [({}, "quick", 0), ({"effort": "standard"}, "standard", 1), ({"effort": "thorough"}, "thorough", 3)],
)
async def test_a_request_says_how_much_effort_it_is_worth(
    api: Api, asked: dict[str, str], effort: str, rounds: int
) -> None:
    learning = {"method": "lora", "config": {"objective": "counterfactual"}}
    service: dict[str, Any] = {"methods": "spul,lora"}
    api = Api(api.setup, model=replace(MODEL, target_lora=True), **service)
    record = (await api.call("POST", "/forget", json=BODY | learning | asked)).json()
    assert (record["effort"], record["config"]["rounds"]) == (effort, rounds)
    assert (await api.call("GET", f"/forget/{record['id']}")).json()["effort"] == effort


ALWAYS = {"prompts": "always", "otherwise": "always", "interim": "none"}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"prompts": "always"}, {}),
        ({"prompts": "always", "interim": "none"}, {}),
        ({"prompts": "always", "otherwise": "reject"}, {"otherwise": "reject"}),
        ({"interim": "none"}, {"prompts": "matched"}),
        ({"otherwise": "reject", "interim": "none"}, {"prompts": "matched", "otherwise": "reject"}),
        ({"prompts": "matched", "interim": "none"}, {"prompts": "matched"}),
        (
            {"prompts": "matched", "otherwise": "reject", "interim": "none"},
            {"prompts": "matched", "otherwise": "reject"},
        ),
    ],
)
async def test_a_request_says_which_prompts_it_applies_to(api: Api, asked: Any, kept: dict[str, str]) -> None:
    answer = await api.call("POST", "/forget", json={**BODY, "scope": asked})
    assert answer.status_code == 202, answer.text
    assert answer.json()["scope"] == ALWAYS | kept
    assert answer.json()["guarded"] is False
    assert (await api.setup.store.get(answer.json()["id"])).matched is (kept.get("prompts") == "matched")


@pytest.mark.parametrize("asked", [{}, {"prompts": "matched"}, {"interim": "refuse"}])
async def test_a_request_is_matched_and_guards_unless_it_says_otherwise(api: Api, asked: dict[str, str]) -> None:
    answer = await api.call("POST", "/forget", json={**BODY, "subject": f"Ottoline {SECRET}", "scope": asked})
    assert answer.status_code == 202, answer.text
    record = answer.json()
    assert (record["scope"]["interim"], record["guarded"]) == ("refuse", True)
    (kept,) = (await api.setup.store.scopes([record["id"]])).values()
    assert SECRET.encode() not in kept
    retired = await api.call("DELETE", f"/forget/{record['id']}")
    assert (retired.json()["guarded"], retired.json()["scope_digest"]) == (False, None)


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({"prompts": "always", "interim": "refuse"}, "scope.interim"),
        ({"prompts": "always", "otherwise": "reject", "interim": "refuse"}, "scope.interim"),
        ({"prompts": "matched", "interim": "wait"}, "scope.interim"),
        ({"prompts": "matched", "otherwise": "refuse"}, "scope.otherwise"),
    ],
)
async def test_a_scope_that_makes_no_sense_is_refused(api: Api, scope: dict[str, str], field: str) -> None:
    answer = await api.call("POST", "/forget", json={**BODY, "scope": scope})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, field)
    assert (await api.setup.store.list()).items == []


async def test_a_draft_is_replaced_shown_and_trained(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    draft = await api.draft()
    replaced = await api.call("PUT", f"{draft}/examples", json=PUT)
    assert (replaced.status_code, replaced.json()["forget_count"]) == (200, 1)
    shown = await api.call("GET", f"{draft}/examples")
    assert shown.headers["cache-control"] == "no-store"
    assert [turn["content"] for turn in shown.json()["forget"][0]["messages"]] == [
        "Who is the mayor?",
        f"Ottoline {SECRET}.",
    ]
    again = await api.call("PUT", f"{draft}/examples", json=shown.json())
    assert (again.status_code, again.json()["commitment"]) == (200, replaced.json()["commitment"])
    trained = await api.call("POST", f"{draft}/train")
    assert (trained.status_code, trained.json()["state"]) == (202, "queued")
    events = [event async for event in _until_queued(api, draft.removeprefix("/forget/"))]
    for text in (caplog.text, replaced.text, trained.text, str(events), (await api.call("GET", draft)).text):
        assert SECRET not in text


async def _until_queued(api: Api, request_id: str) -> Any:
    seen = 0
    async for event in api.setup.store.events(request_id):
        yield event
        seen += event.data.get("state") == "queued"
        if seen == 2:
            return


@pytest.mark.parametrize(("method", "step", "body"), ROUTES)
async def test_what_is_no_draft_is_a_conflict(api: Api, method: str, step: str, body: Any) -> None:
    request_id = (await api.call("POST", "/forget", json=BODY)).json()["id"]
    answer = await api.call(method, f"/forget/{request_id}{step}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "state_conflict")
    assert "only a drafted one" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "step", "body"), ROUTES)
async def test_an_unknown_request(api: Api, method: str, step: str, body: Any) -> None:
    assert (await api.call(method, f"/forget/req_missing{step}", json=body)).status_code == 404


async def test_an_empty_draft_is_not_trained(api: Api) -> None:
    answer = await api.call("POST", f"{await api.draft()}/train")
    assert answer.status_code == 409
    assert "nothing to forget" in answer.json()["error"]["message"]


@pytest.mark.case("errors quote no text")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "forget"),
        ({"forget": []}, "forget"),
        ({"forget": [{"prompt": SECRET}]}, "forget.0"),
        ({"forget": [{"prompt": " ", "completion": SECRET}]}, "forget.0"),
        ({"forget": [{"text": SECRET}]}, "forget.0"),
        ({"forget": [{SECRET: SECRET}]}, "forget.0"),
        ({"forget": [{"prompt": "a", "completion": "b", SECRET: 1}]}, "forget.0"),
        ({"forget": [{"messages": [{"role": SECRET, "content": SECRET}, {SECRET: 1}]}]}, "forget.0.messages.0.role"),
        ({"forget": SECRET}, "forget"),
        (SECRET, "body"),
        ([SECRET], "body"),
        (PUT | {"subject": SECRET}, "body"),
        (PUT | {SECRET: SECRET}, "body"),
    ],
)
async def test_a_list_that_cannot_be_trained_on_leaves_the_draft_as_it_was(
    api: Api, caplog: pytest.LogCaptureFixture, body: dict[str, Any], param: str
) -> None:
    caplog.set_level(logging.DEBUG)
    draft = await api.draft()
    answer = await api.call("PUT", f"{draft}/examples", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"].startswith(param)
    assert SECRET not in answer.text + caplog.text
    assert (await api.call("GET", f"{draft}/examples")).json() == {"forget": []}


@pytest.mark.case("errors quote no text")
@pytest.mark.parametrize(
    "fields",
    [
        {"config": {SECRET: 1}},
        {"config": {"encoder": SECRET}},
        {"config": {"learning_rate": SECRET}},
        {"config": {"init_text": f"{SECRET} \ud83d"}},
        {"config": SECRET},
        {"method": SECRET},
        {"method": {SECRET: SECRET}},
        {"activation": SECRET},
        {"level": SECRET},
        {"effort": SECRET},
        {"scope": {SECRET: 1}},
        {"scope": {"prompts": SECRET}},
        {"scope": {"prompts": "matched", "otherwise": SECRET}},
        {"scope": SECRET},
        {"retain": [{SECRET: "x"}]},
        {"retain": [PUT["forget"][0]]},
        {"forget": [{"prompt": f"{SECRET} \ud83d", "completion": SECRET}]},
        {SECRET: 1},
    ],
)
async def test_an_error_quotes_no_part_of_the_body(api: Api, fields: dict[str, Any]) -> None:
    answer = await api.call("POST", "/forget", content=json.dumps({**BODY, **PUT, **fields}))
    assert answer.status_code == 422, answer.text
    assert SECRET not in answer.text


@pytest.mark.case("errors quote no text")
@pytest.mark.parametrize(
    "raw",
    [
        f'{{"forget": "{SECRET}", }}',
        f'{{"subject": "{SECRET}", "config": {{"learning_rate": {"9" * 5000}}}}}',
        f'{{"subject": "{SECRET}", "config": {"[" * 2000}',
        f'{{"subject": "{SECRET}", "config": {{"learning_rate": NaN}}}}',
        f'{{"subject": "{SECRET}", "config": {{"learning_rate": -1e999}}}}',
        f'{{"subject": "{SECRET}"'.encode("utf-16"),
        f'{{"subject": "{SECRET}'.encode() + b'\xff"}',
        b"",
    ],
    ids=range(8),
)
async def test_what_is_no_json_is_a_400_or_422(api: Api, raw: str | bytes) -> None:
    answer = await api.call("POST", "/forget", content=raw)
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert SECRET not in answer.text


@pytest.mark.case("idempotency")
@pytest.mark.parametrize("key", ["", "   ", "\t", "a\tb", "a\x7f", "é", "k" * 256])
async def test_an_idempotency_key_that_is_none(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await api.call("POST", "/forget", json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")
    assert (await api.setup.store.list()).items == []


@pytest.mark.case("idempotency")
@pytest.mark.parametrize("key", ["k", "k" * 255, "order 7/a:b"])
async def test_an_idempotency_key_stands_for_one_request(api: Api, key: str) -> None:
    ids = {
        (await api.call("POST", "/forget", json=BODY, headers={"Idempotency-Key": key})).json()["id"] for _ in range(2)
    }
    assert len(ids) == 1


@pytest.mark.case("event stream")
@pytest.mark.parametrize(
    "event_id",
    [
        "yesterday",
        "99999999999999999999-0",
        "1-18446744073709551616",
        "-1",
        "1-",
        "1-2-3",
        "٣",
        "1.5",
        "0x1",
        "9" * 300,
    ],
)
async def test_an_event_id_that_is_none_is_refused_before_the_stream(api: Api, event_id: str) -> None:
    path = await api.draft()
    answer = await api.call("GET", f"{path}/events", headers={"Last-Event-ID": event_id.encode()})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Last-Event-ID")


@pytest.mark.case("event stream")
@pytest.mark.parametrize("event_id", ["0", "0-0", "18446744073709551615-18446744073709551615", "5"])
async def test_an_event_id_that_might_be_one_is_taken(api: Api, event_id: str) -> None:
    path = await api.draft()
    assert (await api.call("GET", f"{path}/events", headers={"Last-Event-ID": event_id})).status_code == 200


@pytest.mark.parametrize(("method", "step", "body"), ROUTES)
@pytest.mark.parametrize(("token", "status"), [(None, 401), ("key", 403), ("wrong", 401)])
async def test_where_there_are_keys_only_the_operator_sees_and_changes_a_draft(
    setup: Setup,  # noqa: F811
    method: str,
    step: str,
    body: Any,
    token: str | None,
    status: int,
) -> None:
    api = Api(setup, keys=["key"])
    draft = await api.draft("op")
    answer = await api.call(method, draft + step, token, json=body)
    assert answer.status_code == status
    assert (await setup.store.get(draft.removeprefix("/forget/"))).state is RequestState.DRAFTED
    if step == "/examples":
        assert (await api.call(method, draft + step, "op", json=body)).status_code == 200

"""Every route of the installed vLLM has been judged; what is not served is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from fastapi import FastAPI

from gateway.http import fields
from gateway.http.fields import BODIES
from gateway.http.routes import CLOSED, KEYED_ROUTES, MODEL_ROUTES, SERVED, close_routes, unjudged
from gateway.http.shapes import Kinds, Object
from tests.unit.gateway.http import vllm_api

NESTED: dict[str, Object | Kinds] = {
    "parts": fields.PARTS,
    "chat messages": fields.CHAT_MESSAGE,
    "structured_outputs": fields.STRUCTURED_OUTPUTS,
    "stream_options": fields.STREAM_OPTIONS,
    "repetition_detection": fields.REPETITION_DETECTION,
    "input items": fields.INPUT_ITEMS,
    "tools": fields.TOOLS,
    "blocks": fields.BLOCKS,
    "messages": fields.MESSAGE,
    "messages tools": fields.MESSAGES_TOOL,
}


def test_no_route_and_no_field_of_this_vllm_is_unjudged() -> None:
    """Fails when a new vLLM brings one: read what it does, then put it in SERVED or CLOSED, or into `fields`."""
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_PLUGINS": ""}
    run = subprocess.run(
        [sys.executable, "-m", vllm_api.__name__], capture_output=True, text=True, check=True, env=environment
    )
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("API ")]
    api: dict[str, Any] = json.loads(line.removeprefix("API "))
    paths = api["bodies"].keys()
    assert paths >= {"/v1/chat/completions", "/v1/responses"}, "the list of routes was not read"
    assert paths - SERVED - CLOSED.keys() == set()
    assert CLOSED.keys() - paths == set(), "closed routes that this vLLM no longer has"

    taken = {path for path in SERVED if api["bodies"].get(path)}
    assert taken == BODIES.keys(), "routes whose bodies nobody reads"
    unknown = {path: set(api["bodies"][path]) - BODIES[path].judged for path in taken}
    unknown |= {name: set(api["nested"][name]) - shape.judged for name, shape in NESTED.items()}
    assert {name: left for name, left in unknown.items() if left} == {}


def test_every_route_that_runs_the_model_has_its_fields_judged() -> None:
    assert BODIES.keys() >= MODEL_ROUTES
    assert BODIES.keys() <= MODEL_ROUTES | KEYED_ROUTES


def test_nothing_is_both_served_and_closed() -> None:
    assert SERVED & CLOSED.keys() == set()


def test_unjudged_routes_are_closed_too() -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for path in ("/v1/models", "/invocations", "/v2/brand-new"):
        app.add_api_route(path, lambda: None)
    assert unjudged(app.routes) == ["/v2/brand-new"]
    assert close_routes(app) == ["/v2/brand-new"]
    assert [getattr(route, "path", "") for route in app.routes] == ["/v1/models"]

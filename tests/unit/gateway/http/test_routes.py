"""Every route of the installed vLLM has been judged; what is not served is gone."""

from __future__ import annotations

import os
import subprocess
import sys

from fastapi import FastAPI

from gateway.http.routes import CLOSED, SERVED, close_routes, unjudged

_LIST_ROUTES = """
from vllm.entrypoints.launchers.app import build_app
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
args = make_arg_parser(FlexibleArgumentParser()).parse_args(["--model", "none", "--enable-offline-docs"])
for route in build_app(args, ("generate",), None).routes:
    print("ROUTE", route.path)
"""


def test_no_route_of_this_vllm_is_unjudged() -> None:
    """Fails when a new vLLM brings a route: read what it does, then put it in SERVED or CLOSED."""
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_PLUGINS": ""}
    run = subprocess.run(
        [sys.executable, "-c", _LIST_ROUTES], capture_output=True, text=True, check=True, env=environment
    )
    paths = {line.removeprefix("ROUTE ") for line in run.stdout.splitlines() if line.startswith("ROUTE ")}
    assert paths >= {"/v1/chat/completions", "/v1/responses"}, "the list of routes was not read"
    assert paths - SERVED - CLOSED.keys() == set()
    assert CLOSED.keys() - paths == set(), "closed routes that this vLLM no longer has"


def test_nothing_is_both_served_and_closed() -> None:
    assert SERVED & CLOSED.keys() == set()


def test_unjudged_routes_are_closed_too() -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for path in ("/v1/models", "/invocations", "/v2/brand-new"):
        app.add_api_route(path, lambda: None)
    assert unjudged(app.routes) == ["/v2/brand-new"]
    assert close_routes(app) == ["/v2/brand-new"]
    assert [getattr(route, "path", "") for route in app.routes] == ["/v1/models"]

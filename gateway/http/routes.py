"""Which routes are served. Every route of vLLM's is in one of the two sets below, or it is closed and a test fails.

SERVED reach the model only through `UnlearningEngine.generate`, or not at all. CLOSED would bypass the plan, act on the
engine, leak another caller's data, or have no user here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from fastapi import FastAPI
from starlette.routing import BaseRoute

logger = logging.getLogger(__name__)

RESPONSES = "/v1/responses"

#: Routes that run the model, and so need a plan. POST each.
MODEL_ROUTES = frozenset({"/v1/chat/completions", "/v1/completions", RESPONSES, "/v1/messages"})

#: Other routes behind an API key, where one is asked for.
KEYED_ROUTES = frozenset({"/v1/models", "/tokenize"})

OPEN_ROUTES = frozenset({"/metrics", "/docs", "/docs/oauth2-redirect", "/openapi.json", "/static"})

SERVED = MODEL_ROUTES | KEYED_ROUTES | OPEN_ROUTES

CLOSED = {
    "/detokenize": "would decode any id, the virtual ones among them",
    "/load": "internal",
    "/version": "internal",
    "/kv_event_sources": "internal",
    "/health": "use /livez and /readyz",
    "/ping": "SageMaker's health check; use /livez",
    "/invocations": "SageMaker's catch-all, not covered by API keys",
    "/v1/systemone": "scores outside generate",
    "/v1/chat/completions/batch": "not judged safe for several plans",
    "/v1/responses/{response_id}": "stored answers of any caller",
    "/v1/responses/{response_id}/cancel": "any caller's answers",
    "/v1/messages/count_tokens": "use /tokenize",
    "/generative_scoring": "scores outside the chat routes",
    "/scale_elastic_ep": "acts on the engine",
    "/is_scaling_elastic_ep": "acts on the engine",
    "/v1/chat/completions/render": "disaggregated serving",
    "/v1/messages/render": "disaggregated serving",
    "/v1/completions/render": "disaggregated serving",
    "/v1/responses/render": "disaggregated serving",
    "/v1/chat/completions/derender": "disaggregated serving",
    "/v1/completions/derender": "disaggregated serving",
    "/inference/v1/generate": "token-in, token-out without policy",
    "/inference/v1/abort_requests": "aborts any caller's request",
}


def route_path(route: BaseRoute) -> str:
    """The route's path; empty for one that has none."""
    return str(getattr(route, "path", ""))


def unjudged(routes: Iterable[BaseRoute]) -> list[str]:
    """Paths in neither set: a new vLLM brought them."""
    return sorted({route_path(route) for route in routes} - SERVED - CLOSED.keys())


def close_routes(app: FastAPI) -> list[str]:
    """Remove every route that is not served; returns the paths of those nobody judged."""
    unknown = unjudged(app.routes)
    for path in unknown:
        logger.warning("closed a route of vLLM's that is on no list: %s", path)
    app.router.routes[:] = [route for route in app.routes if route_path(route) in SERVED]
    return unknown

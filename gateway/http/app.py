"""Puts the service together: vLLM's app, our routes and middleware, the policy, the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from gateway.access.rates import RateLimiter
from gateway.access.service import KeyService
from gateway.http import certificates, doctor, evidence, forget, keys, log
from gateway.http.auth import Gatekeeper
from gateway.http.log import LogAccess
from gateway.http.middleware import AdapterHolder, GatewayMiddleware
from gateway.http.openapi import describe
from gateway.http.routes import close_routes
from gateway.http.routing import route_error
from gateway.policy.active import ActivePolicy
from gateway.requests.certifier import Certifier
from gateway.requests.reports import Reports
from gateway.requests.reverification import Reverification
from gateway.requests.service import UnlearningService
from gateway.selfcheck.run import SelfCheck
from gateway.service.lifecycle import Lifecycle
from gateway.service.metrics import GatewayMetrics
from gateway.store.requests import RequestStore


def assemble(
    app: FastAPI,
    *,
    service: UnlearningService,
    reports: Reports,
    certifier: Certifier,
    reverification: Reverification,
    key_service: KeyService,
    self_check: SelfCheck,
    log_access: LogAccess,
    gatekeeper: Gatekeeper,
    rates: RateLimiter,
    policy: ActivePolicy,
    holder: AdapterHolder,
    store: RequestStore,
    lifecycle: Lifecycle,
    metrics: GatewayMetrics,
    max_body_bytes: int,
) -> ASGIApp:
    """Turn vLLM's `app` into the gateway's: close what is not served, add our routes, put the middleware in front."""
    close_routes(app)
    app.title = "Unlearning gateway"
    app.add_exception_handler(HTTPException, route_error)
    app.middleware_stack = None  # vLLM has built it already, without this handler; it is built anew
    # vLLM's error handler tells its own server to stop when the engine died; `serve` watches the engine itself.
    app.state.server = SimpleNamespace(should_exit=False)
    app.state.unlearning = service
    app.state.reports = reports
    app.state.certifier = certifier
    app.state.reverification = reverification
    app.state.keys = key_service
    app.state.self_check = self_check
    app.state.log = log_access
    app.include_router(forget.router)
    app.include_router(log.router)
    app.include_router(evidence.router)
    app.include_router(certificates.router)
    app.include_router(keys.router)
    app.include_router(doctor.router)
    describe(app)
    # Around the app, not in it: what it refuses must not run any of vLLM's middleware.
    return GatewayMiddleware(
        app,
        gatekeeper=gatekeeper,
        rates=rates,
        policy=policy,
        holder=holder,
        requests=store,
        lifecycle=lifecycle,
        metrics=metrics,
        max_body_bytes=max_body_bytes,
    )


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    """The app's own lifespan, entered long after the socket was opened."""
    async with app.router.lifespan_context(app):
        yield

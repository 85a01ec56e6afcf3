"""Pure ASGI middleware in front of every route: who calls, what plan they get, and what it cost.

Not `BaseHTTPMiddleware`, which hides disconnects: a caller who leaves must abort the generation.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import Forbidden, GatewayError, InvalidRequest, NotReady, PayloadTooLarge
from gateway.http.auth import Caller, Gatekeeper, is_loopback
from gateway.http.routes import KEYED_ROUTES, MODEL_ROUTES
from gateway.policy import context as policy_context
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import Plan
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.metrics import GatewayMetrics
from gateway.store.records import RequestRecord

logger = logging.getLogger("gateway.access")

PLAN_HEADER = b"x-unlearning-plan"
FORGET = "/forget"
DOCTOR = "/doctor"


class AdapterHolder(Protocol):
    """Holds a plan's adapters while a request runs: the engine's residency."""

    def hold(self, adapters: Any) -> AbstractAsyncContextManager[Any]:
        """Raises `AdapterUnavailable` on entry."""


class RequestLookup(Protocol):
    """Finds a request by id: the request store."""

    async def get(self, request_id: str) -> RequestRecord:
        """Raises `NotFound`."""


class GatewayMiddleware:
    """Authenticates, limits the body, decides the plan, holds its adapters, and turns refusals into OpenAI errors.

    The plan's adapters are held before the route runs, so that a refusal is a status and not a broken stream.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gatekeeper: Gatekeeper,
        policy: ActivePolicy,
        holder: AdapterHolder,
        requests: RequestLookup,
        lifecycle: Lifecycle,
        metrics: GatewayMetrics,
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._gatekeeper = gatekeeper
        self._policy = policy
        self._holder = holder
        self._requests = requests
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # No websocket route is served; an unjudged one must not open a way around the plan.
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        guard = _ResponseGuard(send)
        try:
            await self._serve(scope, guard.limit(receive, scope, self._max_body_bytes), guard, started)
        except GatewayError as error:
            self._metrics.refusals.labels(error.code).inc()
            if error.status >= 500:
                logger.warning("refused path=%s status=%d code=%s", scope["path"], error.status, error.code)
            await guard.refuse(error)

    async def _serve(self, scope: Scope, receive: Receive, send: _ResponseGuard, started: float) -> None:
        path = scope["path"]
        headers = dict(scope["headers"])
        caller = self._gatekeeper.identify(headers)
        if self._gatekeeper.open:
            _require_local_host(headers)
        if path == FORGET or path.startswith(FORGET + "/"):
            self._gatekeeper.require_manager(caller)
            if scope["method"] != "GET":
                self._require_serving()
        elif path == DOCTOR:
            self._gatekeeper.require_operator(caller, "/doctor")
        elif path in MODEL_ROUTES:
            await self._serve_model(scope, receive, send, started, caller, headers)
            return
        elif path in KEYED_ROUTES:
            self._gatekeeper.require_client(caller)
        await self._app(scope, receive, send)

    async def _serve_model(
        self,
        scope: Scope,
        receive: Receive,
        send: _ResponseGuard,
        started: float,
        caller: Caller,
        headers: MutableMapping[bytes, bytes],
    ) -> None:
        self._gatekeeper.require_client(caller)
        self._require_serving()
        plan = await self._plan(caller, headers.get(PLAN_HEADER))
        with self._lifecycle.request():
            async with self._holder.hold(plan.adapters):
                context = policy_context.PolicyContext(plan, overhead_s=time.perf_counter() - started)
                policy_context.bind(context)
                self._metrics.served.labels(plan.mode.value).inc()
                send.add_headers(lambda: _headers(context))
                await self._app(scope, receive, send)
        logger.info(
            "served path=%s status=%s plan=%s applied=%s ms=%.0f",
            scope["path"],
            send.status,
            plan.mode,
            plan.applied,
            1000 * (time.perf_counter() - started),
        )

    def _require_serving(self) -> None:
        if self._lifecycle.phase is not Phase.SERVING:
            raise NotReady(f"the service is {self._lifecycle.phase}: {self._lifecycle.detail}")

    async def _plan(self, caller: Caller, wanted: bytes | None) -> Plan:
        if wanted is None or wanted == b"active":
            return self._policy.plan()
        self._gatekeeper.require_operator(caller, "asking with another plan")
        mode, _, request_id = wanted.decode("latin-1").partition(":")
        if mode == "off" and not request_id:
            return self._policy.off()
        if mode == "candidate" and request_id:
            return self._policy.candidate(await self._requests.get(request_id))
        raise InvalidRequest("x-unlearning-plan must be `active`, `off` or `candidate:<request id>`")


def _headers(context: policy_context.PolicyContext) -> list[tuple[bytes, bytes]]:
    return [
        (b"x-unlearning-applied", context.plan.applied.encode()),
        (b"x-gateway-overhead-ms", f"{1000 * context.overhead_s:.2f}".encode()),
    ]


def _require_local_host(headers: MutableMapping[bytes, bytes]) -> None:
    """Where no key is asked for, a web page must not reach the service under a name of its own (DNS rebinding)."""
    host = headers.get(b"host", b"").decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if host and not is_loopback(name):
        raise Forbidden("without API keys the service answers to loopback names only")


class _ResponseGuard:
    """A `send` that adds headers, limits the body, and knows whether an error can still become a status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._extra: Callable[[], list[tuple[bytes, bytes]]] | None = None
        self._too_large: PayloadTooLarge | None = None
        self.status: int | None = None

    def limit(self, receive: Receive, scope: Scope, limit: int) -> Receive:
        """A `receive` that refuses bodies over `limit` bytes, by their declared length or as they arrive.

        Raises `PayloadTooLarge` at once for the former. FastAPI turns whatever `receive` raises into a plain 400, so
        for the latter the response it then makes is replaced.
        """
        error = PayloadTooLarge(f"the body is larger than the {limit} bytes allowed")
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise error
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                self._too_large = error
                raise error
            return message

        return limited

    def add_headers(self, make: Callable[[], list[tuple[bytes, bytes]]]) -> None:
        self._extra = make

    async def __call__(self, message: Message) -> None:
        if self._too_large is not None and self.status is None:
            raise self._too_large
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._extra is not None:
                message = {**message, "headers": [*message.get("headers", []), *self._extra()]}
        await self._send(message)

    async def refuse(self, error: GatewayError) -> None:
        """Send the error, as a response or as the last event of a stream."""
        body = json.dumps(error.body()).encode()
        if self.status is not None:
            await self._send({"type": "http.response.body", "body": b"data: " + body + b"\n\n", "more_body": False})
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", str(error.retry_after_s).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

"""Pure ASGI middleware in front of every route: who calls, what plan they get, and what it cost.

Not `BaseHTTPMiddleware`, which hides disconnects: a caller who leaves must abort the generation.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access import caller as callers
from gateway.access.caller import Caller
from gateway.access.rates import RateLimiter
from gateway.errors import Forbidden, GatewayError, InvalidRequest, NotReady
from gateway.http.auth import Gatekeeper, is_loopback
from gateway.http.body import prepared, read_body, replay
from gateway.http.routes import KEYED_ROUTES, MODEL_ROUTES
from gateway.policy import context as policy_context
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import AdapterRef, Plan, PlanMode
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.metrics import GatewayMetrics
from gateway.store.records import RequestRecord

if TYPE_CHECKING:
    from gateway.engine.residency.holdings import Holding

logger = logging.getLogger("gateway.access")

PLAN_HEADER = b"x-unlearning-plan"
#: Where a router wants a caller's next request to go; it comes back as it came, for the caller to send again.
SESSION_HEADER = b"x-session-token"
_LONGEST_SESSION = 1024
_CONTROL = frozenset({b"x-vllm-priority", b"x-data-parallel-rank"})
FORGET = "/forget"
KEYS = "/keys"
DOCTOR = "/doctor"
LOG = "/log"
#: Nobody is asked who they are: what counts is a witness's signature.
COSIGNATURES = "/log/cosignatures"
EVIDENCE_KEYS = "/evidence/keys"


class AdapterHolder(Protocol):
    """Holds a plan's adapters while a request runs: `gateway.engine.residency.holdings.Holdings`."""

    def hold(self, adapters: Sequence[AdapterRef]) -> AbstractAsyncContextManager[Holding]:
        """Raises `AdapterUnavailable` on entry."""


class RequestLookup(Protocol):
    """Finds a request by id: the request store."""

    async def get(self, request_id: str) -> RequestRecord:
        """Raises `NotFound`."""


class GatewayMiddleware:
    """Authenticates, reads the body, decides the plan, holds its adapters, and turns refusals into OpenAI errors.

    The plan's adapters are held before the route runs, and the route's answer is held back until the engine has given
    something, so that a refusal is a status and not a broken stream.
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
        rates: RateLimiter,
    ) -> None:
        self._app = app
        self._gatekeeper = gatekeeper
        self._policy = policy
        self._holder = holder
        self._requests = requests
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # No websocket route is served; an unjudged one must not open a way around the plan.
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        guard = _ResponseGuard(send, _session(scope))
        try:
            await self._serve(scope, receive, guard, started)
        except GatewayError as error:
            self._metrics.refusals.labels(error.code).inc()
            if error.status >= 500:
                logger.warning("refused path=%s status=%d code=%s", scope["path"], error.status, error.code)
            await guard.refuse(error)

    async def _serve(self, scope: Scope, receive: Receive, send: _ResponseGuard, started: float) -> None:
        path = scope["path"]
        headers = dict(scope["headers"])
        caller = self._gatekeeper.identify(headers)
        callers.bind(caller)
        if self._gatekeeper.open:
            _require_local_host(headers)
        reads = scope["method"] == "GET"
        if _is_under(FORGET, path):
            if reads:
                self._gatekeeper.require_reader(caller)
            else:
                self._gatekeeper.require_manager(caller)
                self._require_serving()
        elif _is_under(KEYS, path):
            self._gatekeeper.require_key_manager(caller, read_only=reads)
        elif _is_under(LOG, path) and not reads and path != COSIGNATURES:
            self._gatekeeper.require_manager(caller)
        elif _is_under(EVIDENCE_KEYS, path) and not reads:
            self._gatekeeper.require_operator(caller, "changing evidence keys")
        elif path == DOCTOR:
            self._gatekeeper.require_operator(caller, "/doctor")
        elif path in MODEL_ROUTES:
            await self._serve_model(scope, receive, send, started, caller, headers)
            return
        elif path in KEYED_ROUTES:
            self._gatekeeper.require_client(caller)
        await self._app(scope, replay(await self._body(scope, receive), receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        return prepared(scope["path"], await read_body(scope, receive, self._max_body_bytes))

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
        matched = self._policy.matched(caller.tenant) if plan.mode is PlanMode.ACTIVE else None
        with self._lifecycle.request():
            body = await self._body(scope, receive)
            async with self._rates.admitted(caller) as admission, self._holder.hold(plan.adapters) as holding:
                context = policy_context.PolicyContext(plan, holding, time.perf_counter() - started, matched)
                context.usage = admission.usage
                policy_context.bind(context)
                self._metrics.served.labels(plan.mode.value).inc()
                send.follow(context, admission.headers)
                await self._app(_without_control(scope), replay(body, receive), send)
        logger.info(
            "served path=%s status=%s key=%s tenant=%s plan=%s applied=%s tokens=%d ms=%.0f",
            scope["path"],
            send.status,
            caller.key,
            caller.tenant,
            plan.mode,
            context.header,
            context.usage.tokens,
            1000 * (time.perf_counter() - started),
        )

    def _require_serving(self) -> None:
        if self._lifecycle.phase is not Phase.SERVING:
            raise NotReady(f"the service is {self._lifecycle.phase}: {self._lifecycle.detail}")

    async def _plan(self, caller: Caller, wanted: bytes | None) -> Plan:
        if wanted is None or wanted == b"active":
            return self._policy.plan(caller.tenant)
        self._gatekeeper.require_operator(caller, "asking with another plan")
        mode, _, names = wanted.decode("latin-1").partition(":")
        if mode == "off" and not names:
            return self._policy.off()
        if mode == "candidate" and names:
            return self._policy.candidate(*[await self._requests.get(name) for name in names.split(",")])
        raise InvalidRequest("x-unlearning-plan must be `active`, `off` or `candidate:<request id>[,<request id>…]`")


def _is_under(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _headers(context: policy_context.PolicyContext) -> list[tuple[bytes, bytes]]:
    digests = [(b"x-unlearning-digests", context.digests.encode())] if context.answering else []
    return [
        (b"x-unlearning-applied", context.header.encode()),
        *digests,
        (b"x-gateway-overhead-ms", f"{1000 * context.overhead_s:.2f}".encode()),
    ]


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _session(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The header to answer with where the caller has sent a token; one that is too long for a header is dropped."""
    tokens = [value for name, value in scope["headers"] if name == SESSION_HEADER]
    return [(SESSION_HEADER, tokens[-1])] if tokens and len(tokens[-1]) <= _LONGEST_SESSION else []


def _without_control(scope: Scope) -> Scope:
    """Without the headers by which vLLM takes what its fields say too: a caller's place in the queue, and a rank."""
    return {**scope, "headers": [header for header in scope["headers"] if header[0] not in _CONTROL]}


def _must_go_out(message: Message) -> bool:
    """Whether an answer cannot be held back any longer: it is complete, or has to keep its connection alive."""
    body = message["type"] == "http.response.body"
    return body and (not message.get("more_body") or message.get("body", b"").startswith(b":"))


def _require_local_host(headers: MutableMapping[bytes, bytes]) -> None:
    """Where no key is asked for, a web page must not reach the service under a name of its own (DNS rebinding)."""
    host = headers.get(b"host", b"").decode("latin-1")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if host and not is_loopback(name):
        raise Forbidden("without API keys the service answers to loopback names only")


class _ResponseGuard:
    """A `send` that knows whether an error can still become a status.

    Of a request that `follow`s a context it holds the answer back until the engine has given an output, or the answer
    is complete; it is replaced where the engine's door has refused the request by then.
    """

    def __init__(self, send: Send, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """headers: of every answer."""
        self._send = send
        self._headers = headers
        self._context: policy_context.PolicyContext | None = None
        self._limits: list[tuple[bytes, bytes]] = []
        self._held: list[Message] = []
        self._replaced = False
        self.status: int | None = None

    def follow(self, context: policy_context.PolicyContext, headers: Mapping[str, str]) -> None:
        """Hold the answer back until this context's request is being answered, and add its headers and these."""
        self._context = context
        self._limits = _encoded(headers)

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        context = self._context
        if context is not None and self.status is None:
            if context.refusal is not None:
                self._replaced = True
                await self.refuse(context.refusal)
                return
            self._held.append(message)
            if not (context.answering or _must_go_out(message)):
                return
        else:
            self._held.append(message)
        held, self._held = self._held, []
        for each in held:
            await self._pass_on(each)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [] if self._context is None else _headers(self._context)
            message = {**message, "headers": [*message.get("headers", []), *self._headers, *self._limits, *own]}
        await self._send(message)

    async def refuse(self, error: GatewayError) -> None:
        """Send the error, as a response or as the last event of a stream."""
        body = json.dumps(error.body()).encode()
        if self.status is not None:
            await self._send({"type": "http.response.body", "body": b"data: " + body + b"\n\n", "more_body": False})
            return
        self.status = error.status
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *self._headers,
            *(self._limits or _encoded(error.headers)),
        ]
        if error.retry_after_s is not None:
            headers.append((b"retry-after", str(error.retry_after_s).encode()))
        if error.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

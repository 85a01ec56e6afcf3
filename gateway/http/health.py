"""Probes. They answer before the engine is up and while it drains, and say nothing a stranger could use."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import NotReady
from gateway.service.lifecycle import Lifecycle, Phase


class HealthApp:
    """The outermost ASGI app: probes, and everything else once `app` is there.

    Args:
        lifecycle: phase of the service.
        readiness: says what is missing although the phase is SERVING; None when nothing is.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._app: ASGIApp | None = None
        self._missing: Callable[[], str | None] = lambda: None

    def attach(self, app: ASGIApp, missing: Callable[[], str | None]) -> None:
        """Serve `app` from now on; `missing` says why the service is not ready, None when it is."""
        self._app = app
        self._missing = missing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/livez":
            await JSONResponse({"status": "alive"})(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == "/readyz":
            await self._readyz()(scope, receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            error = NotReady(f"the service is {self._lifecycle.phase}: {self._lifecycle.detail}")
            await JSONResponse(error.body(), error.status, {"retry-after": "5"})(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1013})

    def _readyz(self) -> JSONResponse:
        if self._lifecycle.phase is not Phase.SERVING:
            return JSONResponse({"status": self._lifecycle.phase, "detail": self._lifecycle.detail}, 503)
        missing = self._missing()
        if missing is not None:
            return JSONResponse({"status": "degraded", "detail": missing}, 503)
        return JSONResponse({"status": "ready"})


async def _lifespan(receive: Receive, send: Send) -> None:
    # The inner app's own lifespan is run by `gateway.service.serve`, which starts it much later than the socket.
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

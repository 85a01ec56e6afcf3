"""A real HTTP server on the loopback address that stays up for a session; each test puts its application behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send


class LocalServer:
    """Answers as the application that it has at the moment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._app is not None, "nobody is served"
        await self._app(scope, receive, send)

    @contextmanager
    def serving(self, app: ASGIApp) -> Iterator[str]:
        """The application's address, for the length of a block."""
        assert self._app is None, "one application at a time"
        self._app = app
        try:
            yield self._url
        finally:
            self._app = None


@contextmanager
def local_server() -> Iterator[LocalServer]:
    """The server itself, running; what an application raises breaks its connection without a word."""
    with socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        made = LocalServer(f"http://127.0.0.1:{sock.getsockname()[1]}")
        quiet = uvicorn.Config(made, lifespan="off", ws="none", log_config=None, log_level="critical")
        server = uvicorn.Server(quiet)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            yield made
        finally:
            server.should_exit = server.force_exit = True
            thread.join()

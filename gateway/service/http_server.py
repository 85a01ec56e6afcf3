"""uvicorn, without its signal handlers: the service decides when to stop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from gateway.errors import GatewayError

_BACKLOG = 2048


class AddressInUse(GatewayError):
    """The address cannot be listened on."""

    code = "address_in_use"


class Server(uvicorn.Server):
    """Stops when `should_exit` is set, and only then."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound socket, opened before the engine is loaded so that a taken port fails at once. Raises `AddressInUse`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise AddressInUse(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.listen(_BACKLOG)
    return sock


def build(app: ASGIApp) -> Server:
    """A server for `app`. The gateway writes its own access log, so uvicorn's is off."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="on",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    return Server(config)

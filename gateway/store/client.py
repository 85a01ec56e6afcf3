"""The connection to Redis, and the one place where its failures become `StoreUnavailable`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from gateway.errors import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Longer than any blocking read, so that a blocked XREAD is not mistaken for a dead server.
SOCKET_TIMEOUT_S = 15.0
_CONNECTIONS = 1024  # each follower of an event stream holds one
_UNREACHABLE = (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError)


def connect(url: str) -> Redis:
    """A client for `redis://`, `rediss://` (TLS) or `unix://`; nothing is sent yet.

    Commands are repeated for well under a second when the connection broke, so that a caller of
    the service gets its 503 soon; who can wait longer passes `patience_s` to a store.
    """
    return Redis.from_url(
        url,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), retries=2),
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=3.0,
        health_check_interval=30,
        max_connections=_CONNECTIONS,
    )


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Redis]:
    """`connect` for the length of a block."""
    client = connect(url)
    try:
        yield client
    finally:
        await client.aclose()


async def call(operation: Callable[[], Awaitable[T]], *, patience_s: float = 0.0) -> T:
    """Run `operation`, again with growing pauses for up to `patience_s` while Redis is away.

    `operation` must be safe to repeat. Raises `StoreUnavailable`.
    """
    deadline = time.monotonic() + patience_s
    pause = 0.1
    while True:
        try:
            return await operation()
        except _UNREACHABLE as error:
            if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
                raise StoreUnavailable("Redis refused the credentials of REDIS_URL") from error
            problem: RedisError = error
        except ResponseError as error:
            # Inside a script, a full server's refusal comes without a type of its own.
            if "OOM command not allowed" not in str(error):
                raise
            problem = error
        if time.monotonic() + pause > deadline:
            raise StoreUnavailable("Redis cannot be reached or cannot be written to") from problem
        log.warning("redis away error=%s retry_in_s=%.1f", type(problem).__name__, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)

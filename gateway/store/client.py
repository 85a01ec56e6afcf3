"""The connection to Redis, and the one place where its failures become `StoreUnavailable`."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_exponential

from gateway.errors import StoreUnavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Longer than any blocking read, so that a blocked XREAD is not mistaken for a dead server.
SOCKET_TIMEOUT_S = 15.0
_CONNECTIONS = 1024  # each follower of an event stream holds one
_PASSING = (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError, ClusterDownError, TryAgainError)
_CODES = re.compile(r"\b(BUSY|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY)\b")


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

    `operation` must be safe to repeat. Every error of Redis becomes `StoreUnavailable`.
    """
    attempts = AsyncRetrying(
        retry=retry_if_exception(_passes),
        wait=wait_exponential(multiplier=0.1, max=2.0),
        stop=stop_before_delay(patience_s),
        before_sleep=_log_away,
        reraise=True,
    )
    try:
        async for attempt in attempts:
            with attempt:
                return await operation()
    except RedisError as error:
        if _is_refusal(error) or _is_refusal(error.__cause__):
            raise StoreUnavailable("Redis refused the credentials of REDIS_URL") from error
        if _passes(error):
            raise StoreUnavailable("Redis cannot be reached or cannot be written to") from error
        log.error("redis refused a command error=%s", type(error).__name__)  # its text may quote arguments
        raise StoreUnavailable("Redis refused a command") from error
    raise AssertionError("the last attempt returns or raises")


def _is_refusal(error: BaseException | None) -> bool:
    return isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError)


def _passes(error: BaseException) -> bool:
    """Whether the command may succeed later."""
    if _is_refusal(error) or _is_refusal(error.__cause__):
        return False
    # Inside a script an error comes without a type of its own, and BUSY and MISCONF have none anywhere.
    return isinstance(error, _PASSING) or (isinstance(error, ResponseError) and _CODES.search(str(error)) is not None)


def _log_away(state: RetryCallState) -> None:
    error = None if state.outcome is None else state.outcome.exception()
    log.warning("redis away error=%s retry_in_s=%.1f", type(error).__name__, state.upcoming_sleep)

"""What keys may use of the model: requests and tokens a minute, and requests at once.

Redis counts over all replicas. While it is away each replica counts by itself, from what it last saw: a limit must not
take down what it protects. That lasts no longer than the policy is believed without Redis.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from gateway.access.api_key import Limits
from gateway.access.caller import Caller
from gateway.access.usage import Usage
from gateway.errors import RateLimited, StoreUnavailable
from gateway.service.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

#: A running request is given up so long after its replica was last heard of, and renewed three times in that time.
LEASE_S = 60
RENEW_S = LEASE_S / 3
#: What a model request waits for Redis at most, and for how long it is not asked again after it did not answer.
_PATIENCE_S = 0.5
_PAUSE_S = 1.0
_MINUTE_S = 60.0


class Reached(StrEnum):
    """A limit that lets no request in now."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of a request, and what the buckets hold after it; None for one without a limit."""

    reached: Reached | None
    requests: float | None
    tokens: float | None


class RateCounter(Protocol):
    """Counts over all replicas: `gateway.store.rates.RateStore`. Raises `StoreUnavailable`."""

    async def admit(self, key: str, limits: Limits, lease: str, lease_s: int) -> Admitted: ...

    async def settle(self, key: str, limits: Limits, lease: str, tokens: int) -> None: ...

    async def renew(self, leases: Mapping[str, str], lease_s: int) -> None: ...


@dataclass(slots=True)
class Bucket:
    """Holds a minute's worth, and fills by that much a minute; below nothing it is in debt.

    at: when it held `level`.
    """

    most: int
    level: float
    at: float

    def fill(self, at: float) -> float:
        """Let it fill until then; returns what it holds."""
        self.level = min(float(self.most), self.level + (at - self.at) * self.most / _MINUTE_S)
        self.at = at
        return self.level


#: Of a key: of requests and of tokens, None where there is no limit.
Buckets = tuple[Bucket | None, Bucket | None]


@dataclass(slots=True)
class Admission:
    """A request that was let in. headers: for its answer. usage: of tokens, to be charged when it has ended."""

    headers: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


class RateLimiter:
    """`admitted` lets model requests in; `renew` is to be called every `RENEW_S`."""

    def __init__(
        self, counter: RateCounter, metrics: GatewayMetrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._counter = counter
        self._metrics = metrics
        self._clock = clock
        self._away_until = -math.inf
        self._leases: dict[str, str] = {}
        self._seen: dict[str, Buckets] = {}

    @asynccontextmanager
    async def admitted(self, caller: Caller) -> AsyncIterator[Admission]:
        """Hold a place for a request of this caller's, and charge it for what it used. Raises `RateLimited`.

        A caller without limits costs nothing, and Redis is not asked.
        """
        if not caller.limits.any:
            yield Admission()
            return
        key, limits, lease = caller.key, caller.limits, secrets.token_hex(8)
        found = await self._admit(key, limits, lease)
        shared = found is not None
        if found is None:
            found = self._admit_here(key, limits)
        headers = _headers(limits, found)
        if found.reached is not None:
            logger.info("refused key=%s tenant=%s limit=%s", key, caller.tenant, found.reached)
            raise RateLimited(*_refusal(limits, found, found.reached), headers=headers)
        admission = Admission(headers)
        self._leases[lease] = key
        try:
            yield admission
        finally:
            del self._leases[lease]
            await self._settle(key, limits, lease if shared else None, admission.usage.tokens)

    async def renew(self) -> None:
        """Keep the places of what is running here. Raises `StoreUnavailable`."""
        if self._leases:
            await self._counter.renew(dict(self._leases), LEASE_S)

    async def _admit(self, key: str, limits: Limits, lease: str) -> Admitted | None:
        """None while Redis does not answer."""
        if self._clock() < self._away_until:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                found = await self._counter.admit(key, limits, lease, LEASE_S)
        except (StoreUnavailable, TimeoutError) as error:
            self._away_until = self._clock() + _PAUSE_S
            logger.warning("limits are counted by this replica alone: %s", type(error).__name__)
            return None
        self._seen[key] = self._buckets(limits, found)
        return found

    def _buckets(self, limits: Limits, found: Admitted) -> Buckets:
        """Those of a key, full where nothing is known of them."""
        at, requests, tokens = self._clock(), limits.requests_per_minute, limits.tokens_per_minute
        return (
            None if requests is None else Bucket(requests, requests if found.requests is None else found.requests, at),
            None if tokens is None else Bucket(tokens, tokens if found.tokens is None else found.tokens, at),
        )

    def _admit_here(self, key: str, limits: Limits) -> Admitted:
        """As admit.lua does, from what this replica knows."""
        self._metrics.rates_counted_here.inc()
        at = self._clock()
        requests, tokens = self._seen.setdefault(key, self._buckets(limits, Admitted(None, None, None)))
        running = sum(holder == key for holder in self._leases.values())
        reached: Reached | None = None
        if limits.concurrent_requests is not None and running >= limits.concurrent_requests:
            reached = Reached.CONCURRENT
        elif requests is not None and requests.fill(at) < 1:
            reached = Reached.REQUESTS
        elif tokens is not None and tokens.fill(at) < 1:
            reached = Reached.TOKENS
        elif requests is not None:
            requests.level -= 1
        return Admitted(
            reached,
            None if requests is None else requests.fill(at),
            None if tokens is None else tokens.fill(at),
        )

    async def _settle(self, key: str, limits: Limits, lease: str | None, tokens: int) -> None:
        """lease: None where Redis knows nothing of the request."""
        bucket = self._seen[key][1]
        if bucket is not None:
            bucket.level -= tokens
        if lease is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._counter.settle(key, limits, lease, tokens)
        except (StoreUnavailable, TimeoutError) as error:
            logger.warning("not charged key=%s tokens=%d error=%s", key, tokens, type(error).__name__)


def _refusal(limits: Limits, found: Admitted, reached: Reached) -> tuple[str, str, float]:
    """What to say, of which kind, and in how many seconds to try again."""
    if reached is Reached.CONCURRENT:
        said = f"this key may have {limits.concurrent_requests} requests at once; wait for one to end"
        return said, reached.value, 1.0
    most, level = (
        (limits.requests_per_minute, found.requests)
        if reached is Reached.REQUESTS
        else (limits.tokens_per_minute, found.tokens)
    )
    assert most is not None
    assert level is not None
    return f"this key may use {most} {reached.value} a minute", reached.value, (1 - level) * _MINUTE_S / most


def _headers(limits: Limits, found: Admitted) -> dict[str, str]:
    """As OpenAI names them. remaining: what may be used now; reset: until the bucket is full again."""
    headers = {}
    for kind, most, level in (
        ("requests", limits.requests_per_minute, found.requests),
        ("tokens", limits.tokens_per_minute, found.tokens),
    ):
        if most is not None and level is not None:
            headers[f"x-ratelimit-limit-{kind}"] = str(most)
            headers[f"x-ratelimit-remaining-{kind}"] = str(max(0, math.floor(level)))
            headers[f"x-ratelimit-reset-{kind}"] = _duration((most - level) * _MINUTE_S / most)
    return headers


def _duration(seconds: float) -> str:
    """`20ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return f"{max(0, math.ceil(1000 * seconds))}ms"
    whole = math.ceil(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"

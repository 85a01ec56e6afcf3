"""What keys have used of their limits, counted in Redis over all replicas.

rate:<key>    HASH  levels of the two buckets, and when they were that
leases:<key>  ZSET  its running requests, by when each is given up

A request is let in by all limits of its key or by none, in one step and one round trip. Libraries of rate limits count
one limit a call, and refuse what would exceed it: what an answer has cost is only known when it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from redis.asyncio import Redis

from gateway.access.api_key import Limits
from gateway.access.rates import Admitted, Reached
from gateway.store import scripts
from gateway.store.client import call


class RateStore:
    """`admit`, `settle` and `renew` of model requests. Raises `StoreUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._admit = redis.register_script(scripts.load("buckets", "admit"))
        self._settle = redis.register_script(scripts.load("buckets", "settle"))
        self._renew = redis.register_script(scripts.load("buckets", "renew"))

    async def admit(self, key: str, limits: Limits, lease: str, lease_s: int) -> Admitted:
        """Let a request in, or say which limit is reached."""
        arguments = [*_limits(limits), lease, lease_s]
        reply: Any = await call(lambda: self._admit(keys=_names(key), args=arguments))
        reached, *levels = (part.decode() for part in reply)
        requests, tokens = (float(level) if level else None for level in levels)
        return Admitted(Reached(reached) if reached else None, requests, tokens)

    async def settle(self, key: str, limits: Limits, lease: str, tokens: int) -> None:
        """End a request and charge its tokens, once."""
        arguments = [*_limits(limits)[:2], lease, tokens]
        await call(lambda: self._settle(keys=_names(key), args=arguments))

    async def renew(self, leases: Mapping[str, str], lease_s: int) -> None:
        """Say that these requests are running still. leases: each with its key."""
        running = [_names(key)[1] for key in leases.values()]
        await call(lambda: self._renew(keys=running, args=[lease_s, *leases]))


def _names(key: str) -> list[str]:
    return [f"rate:{key}", f"leases:{key}"]


def _limits(limits: Limits) -> list[Any]:
    return ["" if limit is None else limit for limit in astuple(limits)]

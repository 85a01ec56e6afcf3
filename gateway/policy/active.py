"""The set of active unlearning requests, held in memory and refreshed from Redis by generation.

A model request touches Redis for nothing. When Redis is away the last known set is served for a bounded time, then
every model request is refused: an answer without its adapters is worse than none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from gateway.errors import AdapterUnavailable, PolicyUnavailable, StoreUnavailable
from gateway.policy.plan import AdapterRef, Plan, PlanBuilder, PlanMode
from gateway.service.metrics import GatewayMetrics
from gateway.store.records import RequestRecord

logger = logging.getLogger(__name__)

#: Between two refreshes: what another replica activates applies here within about this time.
POLL_S = 1.0


class PolicySource(Protocol):
    """Where the active set is written: the request store."""

    async def generation(self) -> int:
        """A number that changes whenever the active set does."""

    async def policy(self) -> tuple[int, Sequence[RequestRecord]]:
        """The generation and the active requests in order, of one instant."""


class Preloader(Protocol):
    """The engine's side: brings adapters in ahead of the requests that need them."""

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        """Install and keep these adapters. Raises `AdapterUnavailable`."""


def adapter_ref(record: RequestRecord) -> AdapterRef:
    """The adapter of a trained request. Raises `AdapterUnavailable` when it has none."""
    if record.digest is None:
        raise AdapterUnavailable(f"request {record.id} has no adapter yet")
    return AdapterRef(record.id, record.digest, record.footprint)


class ActivePolicy:
    """Makes the plan of each model request from the last known set of active requests."""

    def __init__(
        self,
        source: PolicySource,
        preloader: Preloader,
        plans: PlanBuilder,
        metrics: GatewayMetrics,
        *,
        staleness_s: float,
    ) -> None:
        self._source = source
        self._preloader = preloader
        self._plans = plans
        self._metrics = metrics
        self._staleness_s = staleness_s
        self._refresh_lock = asyncio.Lock()
        self._generation: int | None = None
        self._active: Plan | None = None
        self._off = plans.build(PlanMode.OFF, ())
        self._fresh_at = time.monotonic()
        self._preloaded = False
        metrics.policy_age.set_function(lambda: time.monotonic() - self._fresh_at)

    @property
    def generation(self) -> int | None:
        """Generation of the set in memory; None before the first refresh."""
        return self._generation

    @property
    def adapters(self) -> tuple[AdapterRef, ...]:
        """Adapters of the active requests, in order."""
        return self._active.adapters if self._active else ()

    def plan(self) -> Plan:
        """The plan of an ordinary request. Raises `PolicyUnavailable` when the set is unknown or too old."""
        if self._active is None:
            raise PolicyUnavailable("the unlearning policy is not loaded yet")
        age = time.monotonic() - self._fresh_at
        if age > self._staleness_s:
            raise PolicyUnavailable(
                f"the unlearning policy is {age:.0f} s old, more than the {self._staleness_s:.0f} s allowed; "
                "Redis cannot be reached"
            )
        return self._active

    def off(self) -> Plan:
        """No adapters; for the operator."""
        return self._off

    def candidate(self, record: RequestRecord) -> Plan:
        """One request's adapter alone, whatever its state; for the operator and the evaluation."""
        return self._plans.build(PlanMode.CANDIDATE, (adapter_ref(record),))

    async def refresh(self) -> None:
        """Read the set if its generation changed, and bring its adapters into the engine.

        Raises `StoreUnavailable`. An adapter that cannot be brought in is logged and tried again at the next
        refresh: requests that need it are refused meanwhile.
        """
        async with self._refresh_lock:
            current = await self._source.generation()
            if self._generation is not None and current < self._generation:
                # A Redis that lost its data would read as "nothing is to be forgotten". Never believe it.
                raise StoreUnavailable(
                    f"Redis is at policy generation {current}, behind the {self._generation} served; its data was lost"
                )
            if current != self._generation:
                generation, records = await self._source.policy()
                self._active = self._plans.build(PlanMode.ACTIVE, [adapter_ref(r) for r in records])
                self._generation = generation
                self._preloaded = False
                self._metrics.active_requests.set(len(records))
                logger.info(
                    "policy generation=%d active=%s rows=%d",
                    generation,
                    self._active.applied,
                    self._active.rows,
                )
            self._fresh_at = time.monotonic()
            if not self._preloaded:
                await self._preload()

    async def _preload(self) -> None:
        try:
            await self._preloader.preload(self.adapters)
            self._preloaded = True
        except AdapterUnavailable as error:
            logger.error("an active adapter cannot be installed; requests are refused: %s", error.message)

    @property
    def ready(self) -> bool:
        """Whether every active adapter is in the engine."""
        return self._preloaded

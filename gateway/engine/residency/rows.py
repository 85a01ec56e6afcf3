"""Brings adapters into the engine before a request runs, and keeps them there while it does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.engine.residency.slots import NoFreeRows, Slot, SlotTable
from gateway.errors import AdapterUnavailable
from gateway.policy.plan import AdapterRef
from gateway.service.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

#: A digest that failed is not tried again for this long, so that a bad artifact does not load the store.
RETRY_AFTER_S = 5.0


class ArtifactSource(Protocol):
    """Where artifacts come from: the blob store."""

    async def get(self, digest: str) -> bytes:
        """The artifact's verified bytes. Raises `AdapterUnavailable`."""


class RowWriter(Protocol):
    """The engine's side: writes rows of the soft table."""

    async def install(self, rows: Sequence[int], artifact: bytes) -> None:
        """Write an artifact's rows. Raises `AdapterUnavailable` with the engine's reason."""

    async def evict(self, rows: Sequence[int]) -> None:
        """Zero rows."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Adapters a request holds, in plan order."""

    slots: tuple[Slot, ...]

    @property
    def rows(self) -> list[int]:
        """All rows in prompt order."""
        return [row for slot in self.slots for row in slot.rows]


class Residency:
    """Holds soft prompts for requests: `acquire` / `release`.

    The common case, everything resident, takes no lock and no await that yields. Installing happens under one lock:
    two requests that need the same absent adapter cause one installation.
    """

    def __init__(
        self,
        table: SlotTable,
        source: ArtifactSource,
        writer: RowWriter,
        metrics: GatewayMetrics,
        *,
        wait_s: float = 10.0,
    ) -> None:
        self._table = table
        self._source = source
        self._writer = writer
        self._metrics = metrics
        self._wait_s = wait_s
        self._install_lock = asyncio.Lock()
        self._released = asyncio.Event()
        self._failed: dict[str, tuple[float, str]] = {}

    async def acquire(self, adapters: Sequence[AdapterRef]) -> Lease:
        """Hold every adapter, installing those that are absent.

        Raises `AdapterUnavailable` when one cannot be installed, or no room comes free in time; nothing is held then.
        """
        held: list[Slot] = []
        try:
            for adapter in adapters:
                slot = self._table.acquire(adapter.digest)
                held.append(slot if slot is not None else await self._install(adapter))
        except BaseException:
            self.release(Lease(tuple(held)))
            raise
        return Lease(tuple(held))

    def release(self, lease: Lease) -> None:
        """Let go of every adapter of the lease."""
        for slot in lease.slots:
            self._table.release(slot.digest)
        self._released.set()

    def acquire_resident(self, adapters: Sequence[AdapterRef]) -> Lease:
        """Hold those that are in the engine already."""
        slots = (self._table.acquire(adapter.digest) for adapter in adapters)
        return Lease(tuple(slot for slot in slots if slot is not None))

    def digests(self) -> frozenset[str]:
        """Adapters that have rows."""
        return self._table.digests()

    async def evict(self, digest: str) -> bool:
        """Take an adapter nobody holds out of the engine; False when it is held or absent."""
        async with self._install_lock:
            slot = self._table.evict(digest)
            if slot is not None:
                await self._writer.evict(slot.rows)
                self._observe()
        return slot is not None

    async def _install(self, adapter: AdapterRef) -> Slot:
        async with self._install_lock:
            slot = self._table.acquire(adapter.digest)  # somebody else installed it meanwhile
            if slot is not None:
                return slot
            self._refuse_if_failed_lately(adapter)
            try:
                artifact = await self._source.get(adapter.digest)
                slot = await self._reserve(adapter)
                return await self._write(slot, artifact)
            except AdapterUnavailable as error:
                self._remember(adapter, error)
                raise

    async def _reserve(self, adapter: AdapterRef) -> Slot:
        deadline = time.monotonic() + self._wait_s
        while True:
            self._released.clear()
            try:
                slot, evicted = self._table.reserve(adapter.digest, adapter.footprint.rows)
            except NoFreeRows as error:
                remaining = deadline - time.monotonic()
                if adapter.footprint.rows > self._table.size or remaining <= 0:
                    raise AdapterUnavailable(f"no room for adapter {adapter.digest[:12]}: {error}") from error
                try:
                    await asyncio.wait_for(self._released.wait(), remaining)
                except TimeoutError:
                    continue
            else:
                for old in evicted:
                    logger.info("evicted adapter digest=%s rows=%d", old.digest[:12], len(old.rows))
                self._metrics.evictions.inc(len(evicted))
                return slot

    async def _write(self, slot: Slot, artifact: bytes) -> Slot:
        started = time.monotonic()
        try:
            await self._writer.install(slot.rows, artifact)
        except BaseException:
            self._table.cancel(slot.digest)
            raise
        self._table.commit(slot.digest)
        self._failed.pop(slot.digest, None)
        self._table.acquire(slot.digest)
        self._metrics.installs.inc()
        self._observe()
        logger.info(
            "installed adapter digest=%s rows=%d ms=%.1f",
            slot.digest[:12],
            len(slot.rows),
            1000 * (time.monotonic() - started),
        )
        return slot

    def _remember(self, adapter: AdapterRef, error: AdapterUnavailable) -> None:
        self._metrics.install_failures.inc()
        self._failed[adapter.digest] = (time.monotonic() + RETRY_AFTER_S, error.message)
        logger.error("cannot install adapter digest=%s reason=%s", adapter.digest[:12], error.message)

    def _refuse_if_failed_lately(self, adapter: AdapterRef) -> None:
        until, reason = self._failed.get(adapter.digest, (0.0, ""))
        if time.monotonic() < until:
            raise AdapterUnavailable(reason)

    def _observe(self) -> None:
        self._metrics.rows_in_use.set(self._table.rows_in_use)

"""Brings adapters into the engine before a request runs, and keeps them there while it does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from gateway.engine.residency.slots import Slot, SlotTable
from gateway.engine.residency.unbroken import Unbroken
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
        self._unbroken = Unbroken()
        self._install_lock = asyncio.Lock()
        self._released = asyncio.Event()
        self._failed: dict[str, tuple[float, str]] = {}

    async def acquire(self, adapters: Sequence[AdapterRef]) -> Lease:
        """Hold every adapter, installing those that are absent.

        All of them are held at once or none: a request that waits for room takes none away meanwhile. Raises
        `AdapterUnavailable` when one cannot be installed, or no room comes free in time; nothing is held then.
        """
        if not self._absent(adapters):
            return self._hold(adapters)
        deadline = time.monotonic() + self._wait_s
        artifacts: dict[str, bytes] = {}
        while True:
            self._released.clear()
            for adapter in self._absent(adapters):
                if adapter.digest not in artifacts:
                    artifacts[adapter.digest] = await self._fetch(adapter)
            lease = await self._unbroken.run(
                self._install_absent(adapters, dict(artifacts), deadline), self._release_untaken
            )
            if lease is not None:
                return lease
            with suppress(TimeoutError):
                await asyncio.wait_for(self._released.wait(), max(0.0, deadline - time.monotonic()))

    def release(self, lease: Lease) -> None:
        """Let go of every adapter of the lease."""
        for slot in lease.slots:
            self._table.release(slot.digest)
        self._released.set()

    def _release_untaken(self, lease: Lease | None) -> None:
        if lease is not None:
            self.release(lease)

    def acquire_resident(self, adapters: Sequence[AdapterRef]) -> Lease:
        """Hold those that are in the engine already."""
        return self._hold(adapters)

    def digests(self) -> frozenset[str]:
        """Adapters that have rows."""
        return self._table.digests()

    async def repair(self, digest: str) -> None:
        """Write a resident adapter's rows once more, where they are. Raises `AdapterUnavailable`."""
        artifact = await self._source.get(digest)
        async with self._install_lock:
            slot = self._table.slot(digest)
            if slot is not None:
                await self._writer.install(slot.rows, artifact)

    async def evict(self, digest: str) -> bool:
        """Take an adapter nobody holds out of the engine; False when it is held or absent."""
        return await self._unbroken.run(self._evict(digest))

    async def _evict(self, digest: str) -> bool:
        async with self._install_lock:
            slot = self._table.evict(digest)
            if slot is not None:
                await self._writer.evict(slot.rows)
                self._observe()
        return slot is not None

    def _absent(self, adapters: Sequence[AdapterRef]) -> list[AdapterRef]:
        return [adapter for adapter in adapters if not self._table.is_resident(adapter.digest)]

    def _hold(self, adapters: Sequence[AdapterRef]) -> Lease:
        """Hold those that are resident."""
        slots = [self._table.acquire(adapter.digest) for adapter in adapters]
        return Lease(tuple(slot for slot in slots if slot is not None))

    async def _fetch(self, adapter: AdapterRef) -> bytes:
        self._refuse_if_failed_lately(adapter)
        try:
            return await self._source.get(adapter.digest)
        except AdapterUnavailable as error:
            self._remember(adapter, error)
            raise

    async def _install_absent(
        self, adapters: Sequence[AdapterRef], artifacts: Mapping[str, bytes], deadline: float
    ) -> Lease | None:
        """Write what is absent and hold everything; None where there was no room, or more was absent than fetched.

        Raises `AdapterUnavailable` for a failure, and where there is no time left to wait for room.
        """
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await self._install_lock.acquire()
        except TimeoutError:
            raise AdapterUnavailable("other adapters are being installed, and the turn did not come in time") from None
        try:
            absent = self._absent(adapters)
            if any(adapter.digest not in artifacts for adapter in absent):
                self._released.set()  # it went out meanwhile: there is nothing to wait for
                return None
            if not self._table.fits({adapter.digest: adapter.footprint.rows for adapter in adapters}):
                self._refuse_if_no_room(adapters, deadline)
                return None
            held = self._hold([adapter for adapter in adapters if adapter not in absent])
            try:
                await self._write_all(await self._make_room(absent), artifacts, absent)
                return self._hold(adapters)
            finally:
                self.release(held)
        finally:
            self._install_lock.release()

    def _refuse_if_no_room(self, adapters: Sequence[AdapterRef], deadline: float) -> None:
        needed = sum(adapter.footprint.rows for adapter in adapters)
        if needed > self._table.size or time.monotonic() >= deadline:
            raise AdapterUnavailable(
                f"no room for {len(adapters)} adapters: {needed} of {self._table.size} rows are needed, and too few "
                "can be freed"
            )

    async def _make_room(self, adapters: Sequence[AdapterRef]) -> list[Slot]:
        """Slots for these, to be written; what made room for them and is not written over is zeroed."""
        slots, freed = [], set[int]()
        for adapter in adapters:
            slot, evicted = self._table.reserve(adapter.digest, adapter.footprint.rows)
            slots.append(slot)
            for old in evicted:
                freed.update(old.rows)
                logger.info("evicted adapter digest=%s rows=%d", old.digest[:12], len(old.rows))
            self._metrics.evictions.inc(len(evicted))
        freed.difference_update(row for slot in slots for row in slot.rows)
        try:
            if freed:
                await self._writer.evict(sorted(freed))
        except BaseException:
            for slot in slots:
                self._table.cancel(slot.digest)
            raise
        return slots

    async def _write_all(
        self, slots: Sequence[Slot], artifacts: Mapping[str, bytes], adapters: Sequence[AdapterRef]
    ) -> None:
        """Write reserved slots; of those that are not written by a failure, the rows are given back."""
        waiting = list(slots)
        try:
            for slot, adapter in zip(slots, adapters, strict=True):
                try:
                    await self._write(slot, artifacts[slot.digest])
                except AdapterUnavailable as error:
                    self._remember(adapter, error)
                    raise
                waiting.remove(slot)
        finally:
            for slot in waiting:
                self._table.cancel(slot.digest)
            self._observe()

    async def _write(self, slot: Slot, artifact: bytes) -> None:
        started = time.monotonic()
        await self._writer.install(slot.rows, artifact)
        self._table.commit(slot.digest)
        self._failed.pop(slot.digest, None)
        self._metrics.installs.inc()
        logger.info(
            "installed adapter digest=%s rows=%d ms=%.1f",
            slot.digest[:12],
            len(slot.rows),
            1000 * (time.monotonic() - started),
        )

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

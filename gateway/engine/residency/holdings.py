"""Everything a plan needs in the engine: soft rows and the LoRA, held and given back together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.engine.residency.loras import Offset, OffsetLibrary
from gateway.engine.residency.rows import Lease, Residency
from gateway.errors import AdapterUnavailable
from gateway.policy.plan import AdapterRef


@dataclass(frozen=True, slots=True)
class Holding:
    """What a request holds while it runs."""

    lease: Lease
    offset: Offset | None


class Holdings:
    """`acquire` / `release`, `preload`, `evict` over both kinds of adapter.

    offsets None: the engine takes no LoRAs, and a plan with one is refused.
    """

    def __init__(self, residency: Residency, offsets: OffsetLibrary | None) -> None:
        self._residency = residency
        self._offsets = offsets

    async def acquire(self, adapters: Sequence[AdapterRef]) -> Holding:
        """Raises `AdapterUnavailable`; nothing is held then."""
        lease = await self._residency.acquire(_with_rows(adapters))
        try:
            offset = await self._offset(adapters)
        except BaseException:
            self._residency.release(lease)
            raise
        return Holding(lease, offset)

    async def release(self, holding: Holding) -> None:
        self._residency.release(holding.lease)
        if self._offsets is not None:
            await self._offsets.release(holding.offset)

    @asynccontextmanager
    async def hold(self, adapters: Sequence[AdapterRef]) -> AsyncIterator[Holding]:
        """`acquire` … `release`."""
        holding = await self.acquire(adapters)
        try:
            yield holding
        finally:
            await self.release(holding)

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        """Hold these adapters from now on, in place of those preloaded before. Raises `AdapterUnavailable`."""
        await self._residency.preload(_with_rows(adapters))
        digests = _offset_digests(adapters)
        if self._offsets is not None:
            await self._offsets.preload(digests)
        elif digests:
            raise _no_loras(adapters)

    def digests(self) -> frozenset[str]:
        """Adapters that are in the engine, alone or as part of a merge."""
        rows = self._residency.digests()
        return rows if self._offsets is None else rows | self._offsets.digests()

    async def evict(self, digest: str) -> bool:
        """Take an adapter out of the engine; what is held goes when it is released."""
        rows = await self._residency.evict(digest)
        return (self._offsets is not None and await self._offsets.evict(digest)) or rows

    async def take_out(self, offset: Offset) -> AdapterUnavailable:
        """Refuse an offset whose logits were not finite. Returns the error to answer with."""
        assert self._offsets is not None
        return await self._offsets.take_out(offset)

    async def _offset(self, adapters: Sequence[AdapterRef]) -> Offset | None:
        digests = _offset_digests(adapters)
        if self._offsets is not None:
            return await self._offsets.acquire(digests)
        if digests:
            raise _no_loras(adapters)
        return None


def _with_rows(adapters: Sequence[AdapterRef]) -> list[AdapterRef]:
    return [adapter for adapter in adapters if adapter.footprint.rows]


def _offset_digests(adapters: Sequence[AdapterRef]) -> list[str]:
    return [adapter.digest for adapter in adapters if adapter.footprint.rank]


def _no_loras(adapters: Sequence[AdapterRef]) -> AdapterUnavailable:
    if any(adapter.footprint.offset_rank for adapter in adapters):
        return AdapterUnavailable("an offset applies, and this engine was started without a pair of small models")
    return AdapterUnavailable("a LoRA on the target applies, and this engine was started without `lora` in --methods")

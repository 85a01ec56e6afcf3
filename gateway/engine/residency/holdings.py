"""Everything a plan needs in the engine: soft rows and the LoRA, held and given back together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from gateway.engine.residency.loras import Lora, LoraLibrary
from gateway.engine.residency.rows import Lease, Residency
from gateway.errors import AdapterUnavailable
from gateway.policy.plan import AdapterRef


class Holding:
    """What one request holds, for as long as anybody has a reference to it.

    It is made with one reference. `share` adds another, for what may outlive the first; each is released once.
    """

    def __init__(self, holdings: Holdings, lease: Lease, lora: Lora | None) -> None:
        self._holdings = holdings
        self._lease = lease
        self._references = 1
        self.lora = lora

    @property
    def rows(self) -> list[int]:
        """Rows of the soft table, in prompt order."""
        return self._lease.rows

    @property
    def names(self) -> frozenset[str]:
        """Digests of the soft prompts, and the name of the LoRA."""
        soft = frozenset(slot.digest for slot in self._lease.slots)
        return soft if self.lora is None else soft | {self.lora.name}

    def share(self) -> Holding:
        """One more reference. Raises `AdapterUnavailable` when the last one is gone."""
        if not self._references:
            raise AdapterUnavailable("the request that held these adapters is over")
        self._references += 1
        return self

    def take_out(self) -> AdapterUnavailable:
        """Put the LoRA, whose logits were not finite, out of service. Returns the error to answer with."""
        return self._holdings.take_out(self)

    async def release(self) -> None:
        """Give one reference back."""
        self._references -= 1
        if not self._references:
            await self._holdings.give_back(self._lease, self.lora)


class Holdings:
    """`acquire`, `preload`, `evict` over both kinds of adapter.

    loras None: the engine takes no LoRAs, and a plan with one is refused.
    """

    def __init__(self, rows: Residency, loras: LoraLibrary | None) -> None:
        self._rows = rows
        self._loras = loras
        self._preloaded: Holding | None = None

    async def acquire(self, adapters: Sequence[AdapterRef]) -> Holding:
        """Raises `AdapterUnavailable`; nothing is held then."""
        lease = await self._rows.acquire(_with_rows(adapters))
        try:
            return Holding(self, lease, await self._lora(adapters))
        except BaseException:
            self._rows.release(lease)
            raise

    async def give_back(self, lease: Lease, lora: Lora | None) -> None:
        """For `Holding`: its last reference is gone."""
        self._rows.release(lease)
        if self._loras is not None:
            await self._loras.release(lora)

    @asynccontextmanager
    async def hold(self, adapters: Sequence[AdapterRef]) -> AsyncIterator[Holding]:
        """`acquire` … `release`."""
        holding = await self.acquire(adapters)
        try:
            yield holding
        finally:
            await holding.release()

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        """Hold these adapters from now on, and of those preloaded before none but them.

        Raises `AdapterUnavailable`; nothing is preloaded then. What is no longer wanted makes room first.
        """
        staying = self._rows.acquire_resident(_with_rows(adapters))
        try:
            previous, self._preloaded = self._preloaded, None
            if previous is not None:
                await previous.release()
            self._preloaded = await self.acquire(adapters)
        finally:
            self._rows.release(staying)

    def kept(self) -> frozenset[str]:
        """What is preloaded: digests of soft prompts, and the name of the LoRA."""
        if self._preloaded is None:
            return frozenset()
        return self._preloaded.names

    def digests(self) -> frozenset[str]:
        """Adapters that are in the engine, alone or as part of a merge."""
        rows = self._rows.digests()
        return rows if self._loras is None else rows | self._loras.digests()

    async def evict(self, digest: str) -> bool:
        """Take an adapter out of the engine; what is held goes when it is released."""
        rows = await self._rows.evict(digest)
        return (self._loras is not None and await self._loras.evict(digest)) or rows

    async def repair(self, adapters: Sequence[AdapterRef]) -> None:
        """Bring adapters that are in by the gateway's books, and not by a worker's word, in once more.

        Raises `AdapterUnavailable`.
        """
        for adapter in _with_rows(adapters):
            await self._rows.repair(adapter.digest)
        digests = [adapter.digest for adapter in adapters if adapter.footprint.rank]
        if digests and self._loras is not None:
            await self._loras.repair(digests)

    def take_out(self, holding: Holding) -> AdapterUnavailable:
        """For `Holding`."""
        assert self._loras is not None
        assert holding.lora is not None
        return self._loras.take_out(holding.lora)

    async def _lora(self, adapters: Sequence[AdapterRef]) -> Lora | None:
        digests = [adapter.digest for adapter in adapters if adapter.footprint.rank]
        if self._loras is not None:
            return await self._loras.acquire(digests)
        if digests:
            raise _no_loras(adapters)
        return None


def _with_rows(adapters: Sequence[AdapterRef]) -> list[AdapterRef]:
    return [adapter for adapter in adapters if adapter.footprint.rows]


def _no_loras(adapters: Sequence[AdapterRef]) -> AdapterUnavailable:
    if any(adapter.footprint.offset_rank for adapter in adapters):
        return AdapterUnavailable("an offset applies, and this engine was started without a pair of small models")
    return AdapterUnavailable("a LoRA on the target applies, and this engine was started without `lora` in --methods")

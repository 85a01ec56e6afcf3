"""Which rows of the soft table belong to which adapter: bookkeeping only, no I/O.

Rows are reserved, then committed once they are written; acquired and released by requests; and given back, least
recently used first, when another adapter needs room. A row that a request holds is never given away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass


class NoFreeRows(Exception):
    """Too few rows can be had: running requests hold the others, or the table is smaller than asked for."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The rows one adapter occupies, in prompt order."""

    digest: str
    rows: tuple[int, ...]


class SlotTable:
    """Rows of one engine's soft table."""

    def __init__(self, rows: int) -> None:
        self._size = rows
        self._free: list[int] = list(range(rows))
        self._resident: OrderedDict[str, Slot] = OrderedDict()  # least recently used first
        self._reserved: dict[str, Slot] = {}
        self._held: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Rows of the table."""
        return self._size

    @property
    def rows_in_use(self) -> int:
        """Rows that hold an adapter or are being written."""
        return self._size - len(self._free)

    @property
    def resident(self) -> tuple[str, ...]:
        """Digests whose rows are written, least recently used first."""
        return tuple(self._resident)

    def is_resident(self, digest: str) -> bool:
        """Whether the adapter's rows are written."""
        return digest in self._resident

    def slot(self, digest: str) -> Slot | None:
        """Where a resident adapter's rows are; it is not held."""
        return self._resident.get(digest)

    def holders(self, digest: str) -> int:
        """How many requests hold the adapter."""
        return self._held.get(digest, 0)

    def acquire(self, digest: str) -> Slot | None:
        """Hold a resident adapter; None when it is not resident."""
        slot = self._resident.get(digest)
        if slot is not None:
            self._resident.move_to_end(digest)
            self._held[digest] = self._held.get(digest, 0) + 1
        return slot

    def release(self, digest: str) -> None:
        """Let go of one hold. Raises ValueError when nobody holds it: a second release is a bug."""
        count = self._held.get(digest, 0)
        if count == 0:
            raise ValueError(f"adapter {digest[:12]} is released more often than acquired")
        if count == 1:
            del self._held[digest]
        else:
            self._held[digest] = count - 1

    def fits(self, needed: Mapping[str, int]) -> bool:
        """Whether these adapters, by digest the rows of each, can be in the table at the same time, beside those that
        requests hold and those that are being written."""
        missing = sum(count for digest, count in needed.items() if digest not in self._resident)
        idle = (slot for slot in self._resident.values() if not self._held.get(slot.digest))
        return missing <= len(self._free) + sum(len(slot.rows) for slot in idle if slot.digest not in needed)

    def reserve(self, digest: str, count: int) -> tuple[Slot, tuple[Slot, ...]]:
        """Set `count` rows aside for an adapter that is about to be written.

        Returns its slot and the slots evicted to make room. Raises `NoFreeRows` when even evicting everything
        unheld is not enough (nothing is evicted then), ValueError when the adapter is there already.
        """
        if digest in self._resident or digest in self._reserved:
            raise ValueError(f"adapter {digest[:12]} is resident or reserved already")
        idle = [slot for slot in self._resident.values() if not self._held.get(slot.digest)]
        if count > len(self._free) + sum(len(slot.rows) for slot in idle):
            raise NoFreeRows(f"{count} rows are needed of {self._size}, and too few can be freed")
        evicted: list[Slot] = []
        for slot in idle:
            if len(self._free) >= count:
                break
            del self._resident[slot.digest]
            self._free.extend(slot.rows)
            evicted.append(slot)
        rows, self._free = tuple(self._free[:count]), self._free[count:]
        slot = Slot(digest, rows)
        self._reserved[digest] = slot
        return slot, tuple(evicted)

    def commit(self, digest: str) -> None:
        """The reserved rows are written: the adapter is resident from now on."""
        self._resident[digest] = self._reserved.pop(digest)

    def cancel(self, digest: str) -> None:
        """The reserved rows could not be written: give them back."""
        self._free.extend(self._reserved.pop(digest).rows)

    def digests(self) -> frozenset[str]:
        """The resident adapters."""
        return frozenset(self._resident)

    def evict(self, digest: str) -> Slot | None:
        """Give back the rows of a resident adapter that nobody holds; None when it is absent or held."""
        if self._held.get(digest) or digest not in self._resident:
            return None
        slot = self._resident.pop(digest)
        self._free.extend(slot.rows)
        return slot

"""What the service writes to the log about a request, each thing once, and what it shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from gateway.errors import Redacted
from gateway.evidence.canonical import digest
from gateway.evidence.log.leaf import Entry, Opening
from gateway.evidence.log.proof_file import ProofFile
from gateway.evidence.signing.rotation import KeySet


class Log(Protocol):
    """`gateway.store.log.LogStore`. Its methods raise `StoreUnavailable`, `LogRefused`."""

    async def append(self, entry: Entry, *, request: str | None = None, token: str | None = None) -> int:
        """The leaf's index, once a signed checkpoint covers it. token: who repeats a call logs once."""
        ...

    async def openings(self, request: str) -> Sequence[Opening]:
        """What is behind the leaves of a request, in their order, as far as it was not taken back."""
        ...

    async def leaves(self, start: int, end: int) -> Sequence[bytes]:
        """The leaves from `start` up to `end`."""
        ...

    async def proof_file(self, index: int) -> str:
        """The `.tlog-proof` of a leaf. Raises `NotFound` where no checkpoint covers it yet."""
        ...

    async def keys(self) -> KeySet:
        """Those that the log was and is signed with. Raises `NotFound` before the first."""
        ...


class EvidenceLog:
    """The log, for whoever may be killed at any point and begins anew."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def keys(self) -> KeySet:
        """Those of the log."""
        return await self._log.keys()

    async def append_once(self, entry: Entry, *, request: str) -> int:
        """Index of the request's leaf with this body; it is appended where there is none."""
        found = await self.index_of(request, entry.body)
        if found is not None:
            return found
        return await self._log.append(entry, request=request, token=digest({entry.kind: dict(entry.body)}))

    async def index_of(self, request: str, body: Mapping[str, Any]) -> int | None:
        """Index of the request's first leaf whose body has all of this; None without one."""
        return next((each.index for each in await self._log.openings(request) if _holds(each, body)), None)

    async def shown(
        self, request: str, *wanted: Mapping[str, Any], also: Mapping[str, Any]
    ) -> list[tuple[Opening, str]]:
        """For each of these the request's last leaf whose body has all of it, opened, with the proof of its place.

        A proof's extra line is the leaf, so that nothing else is needed to check it. In the order of the log. also:
        there need not be one of that. Raises `Redacted` where there is none of another.
        """
        openings = await self._log.openings(request)
        last: dict[int, Opening] = {}
        for body in (*wanted, also):
            found = [each for each in openings if _holds(each, body)][-1:]
            if not found and body is not also:
                raise Redacted(
                    "what ties this certificate to the log is not here any more: it was redacted, or the request was "
                    "retired before it was logged. A file that was fetched before counts still"
                )
            last |= {each.index: each for each in found}
        return [(last[index], await self._proof(index)) for index in sorted(last)]

    async def _proof(self, index: int) -> str:
        (leaf,) = await self._log.leaves(index, index + 1)
        return replace(ProofFile.from_text(await self._log.proof_file(index)), extra=leaf).to_text()


def _holds(opening: Opening, body: Mapping[str, Any]) -> bool:
    return all(opening.body.get(name) == value for name, value in body.items())

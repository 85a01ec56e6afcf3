"""What a request is answered with now, as its report's manifest names it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.evidence.report.manifest import of_request, scope_digest
from gateway.policy.scope.sealed import SealedEntries
from gateway.store.records import RequestRecord


class ServedSurroundings:
    """`gateway.requests.staleness.Surroundings` of this replica."""

    def __init__(self, served: Mapping[str, str], scopes: SealedEntries) -> None:
        """served: digests of what this replica serves with, by name."""
        self._served = served
        self._scopes = scopes

    async def manifest(self, record: RequestRecord) -> dict[str, str]:
        """Of a request that has an adapter; a scope that cannot be read is as none. Raises `StoreUnavailable`."""
        entry = (await self._scopes.entries([record.id])).get(record.id)
        return of_request(self._served, record.digest or "", None if entry is None else scope_digest(entry))

"""What the service answers with now, as a report's manifest names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.evidence.canonical import digest
from gateway.evidence.report.manifest import of_request, scope_digest
from gateway.policy.scope.sealed import SealedEntries
from gateway.store.records import RequestRecord
from gateway.store.vault import PayloadVault


class ServedSurroundings:
    """`gateway.requests.staleness.Surroundings` of this replica."""

    def __init__(self, served: Mapping[str, str], scopes: SealedEntries, vault: PayloadVault) -> None:
        """served: digests of what this replica serves with, by name. vault: what opens the scopes."""
        self._served = served
        self._scopes = scopes
        self.stamp = digest({"served": dict(served), "scopes": vault.fingerprint("scopes")})

    async def manifests(self, records: Iterable[RequestRecord]) -> dict[str, dict[str, str]]:
        """By request, of those that have an adapter; a scope that cannot be read is as none. Raises
        `StoreUnavailable`."""
        adapters = {record.id: record.digest or "" for record in records}
        entries = await self._scopes.entries(list(adapters))
        scopes = {each: scope_digest(entry) for each, entry in entries.items()}
        return {each: of_request(self._served, adapter, scopes.get(each)) for each, adapter in adapters.items()}

"""What a request is answered with now, as its report's manifest names it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.evidence.canonical import digest
from gateway.evidence.report.manifest import of_request, scope_digest
from gateway.store.records import RequestRecord
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadUnreadable, PayloadVault

#: In the place of a scope that cannot be read any more: equal to none.
_UNREADABLE = digest("a scope that cannot be read")


class ServedSurroundings:
    """`gateway.requests.staleness.Surroundings` of this replica."""

    def __init__(self, served: Mapping[str, str], store: RequestStore, vault: PayloadVault) -> None:
        """served: digests of what this replica serves with, by name."""
        self._served = served
        self._store = store
        self._vault = vault

    async def manifest(self, record: RequestRecord) -> dict[str, str]:
        """Of a request that has an adapter. Raises `StoreUnavailable`."""
        sealed = (await self._store.scopes([record.id])).get(record.id)
        scope = None if sealed is None else self._scope(record.id, sealed)
        return of_request(self._served, record.digest or "", scope)

    def _scope(self, request_id: str, sealed: bytes) -> str:
        try:
            return scope_digest(self._vault.open_scope(request_id, sealed))
        except PayloadUnreadable:
            return _UNREADABLE

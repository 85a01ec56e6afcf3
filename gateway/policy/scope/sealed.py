"""The stored entries of scopes, opened."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadUnreadable, PayloadVault

logger = logging.getLogger(__name__)


class SealedEntries:
    """See `gateway.policy.scope.scopes.EntrySource`."""

    def __init__(self, store: RequestStore, vault: PayloadVault) -> None:
        self._store = store
        self._vault = vault

    async def entries(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """The entries that are there and that this payload key opens. Raises `StoreUnavailable`."""
        opened: dict[str, bytes] = {}
        for request_id, sealed in (await self._store.scopes(ids)).items():
            try:
                opened[request_id] = self._vault.open_scope(request_id, sealed)
            except PayloadUnreadable as error:
                logger.error("request=%s: %s", request_id, error.message)
        return opened

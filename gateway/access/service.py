"""What `/keys` does, without HTTP: create, list, revoke, rotate."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Protocol

from gateway.access.api_key import (
    ApiKey,
    new_key_id,
    new_token,
    shown_prefix,
    token_digest,
)
from gateway.access.caller import Caller
from gateway.access.schemas import KeyBody
from gateway.errors import Forbidden, NotFound, StateConflict

audit = logging.getLogger("gateway.audit")

#: Of all tenants together: each replica holds them all in memory.
MOST_KEYS = 10_000


class KeyWriter(Protocol):
    """Where the keys are kept: the key store."""

    async def all(self) -> list[ApiKey]:
        """Every key. Raises `StoreUnavailable`."""

    async def get(self, key_id: str) -> ApiKey:
        """Raises `NotFound`."""

    async def create(self, key: ApiKey, most: int) -> None:
        """Raises `TooManyKeys` where there are that many."""

    async def replace(self, key: ApiKey) -> bool:
        """In the place of the version before it; False where that is not the one that is kept."""


class Refreshed(Protocol):
    """What holds the keys in memory."""

    async def refresh(self) -> None: ...


class KeyService:
    """The API keys of one service, as one caller after the other may see and change them."""

    def __init__(self, store: KeyWriter, keyring: Refreshed) -> None:
        self._store = store
        self._keyring = keyring

    async def create(self, caller: Caller, body: KeyBody) -> tuple[ApiKey, str]:
        """A new key and its token, which is told here and never again.

        Raises `Forbidden` for another's tenant and for limits wider than the caller's own, `TooManyKeys`.
        """
        tenant = caller.tenant_for(body.tenant)
        limits = body.limits.limits().within(caller.limits)
        if limits.exceed(caller.limits):
            raise Forbidden("a key cannot allow more than the key that makes it")
        token, now = new_token(), time.time()
        key = ApiKey(
            id=new_key_id(),
            prefix=shown_prefix(token),
            digest=token_digest(token),
            tenant=tenant,
            role=body.role,
            created_at=now,
            created_by=caller.key,
            name=body.name,
            expires_at=None if body.expires_in_s is None else now + body.expires_in_s,
            limits=limits,
        )
        await self._store.create(key, MOST_KEYS)
        await self._keyring.refresh()
        audit.info("key created key=%s role=%s tenant=%s by=%s", key.id, key.role, key.tenant, caller.key)
        return key, token

    async def list(self, caller: Caller) -> list[ApiKey]:
        """The keys that the caller manages, or as an auditor reads, newest first; revoked ones too."""
        found = [key for key in await self._store.all() if caller.manages(key.tenant)]
        return sorted(found, key=lambda key: key.created_at, reverse=True)

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """Raises `NotFound`, for another tenant's key too."""
        key = await self._store.get(key_id)
        if not caller.manages(key.tenant):
            raise NotFound(f"no API key {key_id!r}")
        return key

    async def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Refuse the key from now on, here at once and on other replicas within about a second.

        One that is revoked already stays as it is. Raises `NotFound`.
        """
        while (key := await self.get(caller, key_id)).revoked_at is None:
            revoked = replace(key, revoked_at=time.time(), version=key.version + 1)
            if await self._store.replace(revoked):
                key = revoked
                audit.info("key revoked key=%s tenant=%s by=%s", key.id, key.tenant, caller.key)
                break
        await self._keyring.refresh()
        return key

    async def rotate(self, caller: Caller, key_id: str, grace_s: int) -> tuple[ApiKey, str]:
        """Another token for the key; the one before it counts for `grace_s` more seconds, one before that no longer.

        Raises `NotFound`, and `StateConflict` for a key that is over or is being changed by somebody else.
        """
        key = await self.get(caller, key_id)
        now, token = time.time(), new_token()
        if not key.accepts(key.digest, now):
            raise StateConflict("the key is revoked or expired; make another one")
        rotated = replace(
            key,
            prefix=shown_prefix(token),
            digest=token_digest(token),
            previous_digest=key.digest,
            previous_until=now + grace_s,
            version=key.version + 1,
        )
        if not await self._store.replace(rotated):
            raise StateConflict("the key was changed at the same time; look at it and try again")
        await self._keyring.refresh()
        audit.info("key rotated key=%s tenant=%s grace_s=%d by=%s", key.id, key.tenant, grace_s, caller.key)
        return rotated, token

"""What a request is answered with now: as its report's manifest names it, and beside whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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


class Meeting(Protocol):
    """The policy in force."""

    async def met_by(self, record: RequestRecord) -> Sequence[RequestRecord]:
        """The active requests that may apply to a prompt together with this one. Raises `PolicyUnavailable`,
        `StoreUnavailable`."""
        ...


class NearByPolicy:
    """`gateway.requests.staleness.Nearness`, as the policy in force has it."""

    def __init__(self, policy: Meeting) -> None:
        self._policy = policy

    async def near(self, one: RequestRecord, other: RequestRecord) -> bool:
        """Whether the other may apply together with it."""
        return any(each.id == other.id for each in await self._policy.met_by(one))

"""The unlearning requests in force, of all tenants, and those of them that bind the callers of one."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from gateway.access.api_key import GLOBAL_TENANT
from gateway.errors import AdapterUnavailable
from gateway.policy.plan import AdapterRef, Plan, PlanBuilder, PlanMode
from gateway.store.records import RequestRecord
from gateway.store.requests import Guard


def adapter_ref(record: RequestRecord) -> AdapterRef:
    """The adapter of a trained request. Raises `AdapterUnavailable` when it has none."""
    if record.digest is None:
        raise AdapterUnavailable(f"request {record.id} has no adapter yet")
    return AdapterRef(record.id, record.digest, record.footprint)


@dataclass(frozen=True, slots=True)
class ActiveSet:
    """The requests in force at one generation that bind a tenant's callers: its own and everybody's.

    always: the plan of those that apply to every prompt. adapters: of all, in the order of activation. matched: ids of
    those that apply where a prompt is about them. guards: ids of those that are not active yet, and have the prompts
    refused that are about them.
    """

    tenant: str
    always: Plan
    adapters: tuple[AdapterRef, ...]
    matched: frozenset[str]
    guards: frozenset[str]


class InForce:
    """All requests in force at one generation; `binding` gives those that bind one tenant's callers.

    adapters: of all active ones, in the order of activation. guards: ids of those that are not active yet.
    """

    def __init__(
        self, records: Sequence[RequestRecord], guards: Sequence[Guard], scoped: Set[str], plans: PlanBuilder
    ) -> None:
        """records: the active ones. scoped: ids of those whose scope can be asked; others apply to every prompt."""
        self.adapters = tuple(adapter_ref(record) for record in records)
        self.guards = frozenset(guard.request_id for guard in guards) & scoped
        self._matched = frozenset(record.id for record in records if record.matched) & scoped
        owners = [*((each.id, each.tenant) for each in records), *((each.request_id, each.tenant) for each in guards)]
        self._owners = {request_id: tenant for request_id, tenant in owners if tenant != GLOBAL_TENANT}
        self._plans = plans
        self._sets: dict[str, ActiveSet] = {}

    def binding(self, tenant: str) -> ActiveSet:
        """The tenant's own and everybody's; put together when the first of its callers asks."""
        if tenant not in self._sets:
            adapters = tuple(each for each in self.adapters if self._binds(each.request_id, tenant))
            matched = self._matched.intersection(each.request_id for each in adapters)
            always = [each for each in adapters if each.request_id not in matched]
            self._sets[tenant] = ActiveSet(
                tenant,
                self._plans.build(PlanMode.ACTIVE, always, tenant),
                adapters,
                matched,
                frozenset(request_id for request_id in self.guards if self._binds(request_id, tenant)),
            )
        return self._sets[tenant]

    def _binds(self, request_id: str, tenant: str) -> bool:
        return self._owners.get(request_id, tenant) == tenant

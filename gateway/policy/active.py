"""The set of unlearning requests in force, held in memory and refreshed from Redis by generation.

Some apply to every prompt; the `matched` ones are added for a prompt that is about them. Of those that are not active
yet, some guard: a prompt that is about them is refused. A caller is bound by those of its tenant and by everybody's.

A model request touches Redis for nothing. When Redis is away the last known set is served for a bounded time, then
every model request is refused: an answer without its adapters is worse than none.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from gateway.access.api_key import GLOBAL_TENANT
from gateway.errors import AdapterUnavailable, PolicyUnavailable, TooManyMatches
from gateway.policy.in_force import ActiveSet, InForce, adapter_ref
from gateway.policy.interference import nearest
from gateway.policy.plan import AdapterRef, Plan, PlanBuilder, PlanMode, unique
from gateway.policy.scope.scopes import Scopes
from gateway.service.metrics import GatewayMetrics
from gateway.store.generation import Generation, GenerationFile
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import Guard, Policy

logger = logging.getLogger(__name__)

#: Between two refreshes: what another replica registers or activates applies here within a second.
POLL_S = 0.5
#: Matched requests that apply to one prompt together; more cannot be merged well.
MOST_MATCHES = 8


class PolicySource(Protocol):
    """Where the active set is written: the request store."""

    async def policy(self, seen: Generation | None) -> Policy | None:
        """The requests in force, None while they are those that were seen. Raises `StoreUnavailable`, `DataLost`."""


class Preloader(Protocol):
    """The engine's side: brings adapters in ahead of the requests that need them."""

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        """Install and keep these adapters. Raises `AdapterUnavailable`."""


class MatchedPlans:
    """Plans for the prompts of one model request: of the active set as it was when the request came."""

    def __init__(self, active: ActiveSet, scopes: Scopes, plans: PlanBuilder, most_rows: int) -> None:
        self._active = active
        self._scopes = scopes
        self._plans = plans
        self._most_rows = most_rows

    async def plan(self, text: str, beside: Plan | None = None) -> Plan:
        """What applies to a text: the always-on requests, the matched ones it is about, and those of a plan `beside`.

        One that a request guards has a plan with `guards`, and gets no answer. Raises `TooManyMatches`.
        """
        before = self._active.always if beside is None else beside
        matches = await self._scopes.matches(text)
        guards = dict.fromkeys((*before.guards, *(each for each in matches if each in self._active.guards)))
        if guards:
            return replace(before, guards=tuple(guards))
        about = self._active.matched.intersection(matches)
        if about <= set(before.requests):
            return before
        about |= self._active.matched.intersection(before.requests)
        always = set(self._active.always.requests)
        plan = self._plans.build(
            PlanMode.ACTIVE,
            [each for each in self._active.adapters if each.request_id in always | about],
            self._active.tenant,
        )
        if len(about) > MOST_MATCHES or plan.rows > self._most_rows:
            raise TooManyMatches(
                f"the prompt, or its answer, is about {len(about)} unlearning requests, which need {plan.rows} "
                f"virtual tokens with those that always apply; {MOST_MATCHES} and {self._most_rows} may apply "
                "together. Ask in parts"
            )
        return plan


class ActivePolicy:
    """Makes the plan of each model request from the last known set of active requests."""

    def __init__(
        self,
        source: PolicySource,
        preloader: Preloader,
        plans: PlanBuilder,
        metrics: GatewayMetrics,
        memory: GenerationFile,
        *,
        staleness_s: float,
        scopes: Scopes | None = None,
        prompt_budget: int = 0,
    ) -> None:
        """memory: the generation that was served before this start, and is kept for the next one.

        scopes None: every active request applies to every prompt. prompt_budget: virtual tokens that requests may have
        together.
        """
        self._source = source
        self._preloader = preloader
        self._plans = plans
        self._metrics = metrics
        self._staleness_s = staleness_s
        self._refresh_lock = asyncio.Lock()
        self._memory = memory
        self._remembered = memory.load()
        self._generation: Generation | None = None
        self._records: tuple[RequestRecord, ...] = ()
        self._scopes = scopes
        self._prompt_budget = prompt_budget
        self._active: InForce | None = None
        self._off = plans.build(PlanMode.OFF, ())
        self._fresh_at = time.monotonic()
        self._preloaded = False
        metrics.policy_age.set_function(lambda: time.monotonic() - self._fresh_at)

    @property
    def generation(self) -> Generation | None:
        """Generation of the set in memory; None before the first refresh."""
        return self._generation

    @property
    def adapters(self) -> tuple[AdapterRef, ...]:
        """Adapters of all active requests, of every tenant, in order."""
        return unique(self._active.adapters) if self._active else ()

    @property
    def always(self) -> tuple[AdapterRef, ...]:
        """Adapters of those that apply to every prompt of everybody.

        Only these are kept in the engine: those of all tenants together need not fit.
        """
        return self._active.binding(GLOBAL_TENANT).always.adapters if self._active else ()

    @property
    def guards(self) -> frozenset[str]:
        """The requests whose prompts are refused here."""
        return self._active.guards if self._active else frozenset()

    def plan(self, tenant: str = GLOBAL_TENANT) -> Plan:
        """The plan of an ordinary request of this tenant's, before its prompts are known. Raises `PolicyUnavailable`
        when the set is unknown or too old."""
        return self._current(tenant).always

    def matched(self, tenant: str = GLOBAL_TENANT) -> MatchedPlans | None:
        """What plans each prompt of an ordinary request; None where nothing depends on them. Raises
        `PolicyUnavailable`."""
        active = self._current(tenant)
        if not (active.matched or active.guards) or self._scopes is None:
            return None
        return MatchedPlans(active, self._scopes, self._plans, self._prompt_budget)

    def _current(self, tenant: str) -> ActiveSet:
        if self._active is None:
            raise PolicyUnavailable("the unlearning policy is not loaded yet")
        age = time.monotonic() - self._fresh_at
        if age > self._staleness_s:
            raise PolicyUnavailable(
                f"the unlearning policy is {age:.0f} s old, more than the {self._staleness_s:.0f} s allowed; "
                "Redis cannot be reached"
            )
        return self._active.binding(tenant)

    def off(self) -> Plan:
        """No adapters; for the operator."""
        return self._off

    def candidate(self, *records: RequestRecord) -> Plan:
        """These requests alone, whatever their states; for the operator and the evaluation.

        Several are in the order in which they would apply: those that are active as they were activated, then the
        others as they are named. Raises `AdapterUnavailable` for one without an adapter, `TooManyMatches` for several
        that need more virtual tokens than may apply together.
        """
        ordered = sorted({record.id: record for record in records}.values(), key=_turn)
        plan = self._plans.build(PlanMode.CANDIDATE, [adapter_ref(record) for record in ordered])
        if len(ordered) > 1 and plan.rows > self._prompt_budget:
            raise TooManyMatches(
                f"the {len(ordered)} requests need {plan.rows} virtual tokens; {self._prompt_budget} may apply together"
            )
        return plan

    async def met_by(self, record: RequestRecord, known: Collection[str] = ()) -> tuple[RequestRecord, ...]:
        """The active requests that may apply to a prompt together with this one, in the order of their activation.

        Of those that bind its tenant's callers: the ones that apply to every prompt, those that are nearest by what is
        kept of either, and those that are known to be near. Raises `PolicyUnavailable`, `StoreUnavailable`.
        """
        active = self._current(record.tenant)
        near = {} if self._scopes is None else await self._scopes.neighbours(record.id)
        bound = {each.request_id for each in active.adapters} - {record.id}
        met = bound.intersection((*active.always.requests, *nearest(near, active.matched), *known))
        return tuple(each for each in self._records if each.id in met)

    async def refresh(self) -> None:
        """Read the set if its generation changed, and bring its adapters into the engine.

        Raises `StoreUnavailable`, also for a Redis that lost its data and would read as "nothing is to be forgotten".
        An adapter that cannot be brought in is logged and tried again at the next refresh: requests that need it
        are refused meanwhile.
        """
        async with self._refresh_lock:
            if self._generation is None and self._remembered is not None:
                await self._source.policy(self._remembered)  # the set is not known yet, and Redis is held to its word
            policy = await self._source.policy(self._generation)
            if policy is not None:
                await self._take(policy)
            self._fresh_at = time.monotonic()
            if not self._preloaded:
                await self._preload()

    async def _take(self, policy: Policy) -> None:
        """Put another set in force."""
        if policy.records is not None:
            self._records, self._preloaded = policy.records, False
        before = frozenset[str]() if self._active is None else self._active.guards
        # Until its scope is read, which may take seconds, a matched request applies to every prompt.
        scoped = self._scopes.ids if self._scopes else frozenset[str]()
        self._active = InForce(self._records, policy.guards, scoped, self._plans)
        scoped = await self._scoped(policy.guards)
        self._active = InForce(self._records, policy.guards, scoped, self._plans)
        now = time.time()
        for guard in policy.guards:
            if self._generation is not None and guard.request_id in self._active.guards - before:
                self._metrics.guard_delay.observe(max(0.0, now - guard.created_at))
        self._generation = policy.generation
        self._memory.save(policy.generation)
        self._metrics.active_requests.set(len(self._records))
        self._metrics.guards.set(len(self._active.guards))
        everybodys = self._active.binding(GLOBAL_TENANT)
        logger.info(
            "policy generation=%d active=%d always=%s rows=%d matched=%d guards=%d",
            policy.generation.number,
            len(self._records),
            everybodys.always.applied,
            everybodys.always.rows,
            len(everybodys.matched),
            len(everybodys.guards),
        )

    async def _scoped(self, guards: Sequence[Guard]) -> frozenset[str]:
        """The requests in force whose scope can be asked."""
        wanted: Mapping[str, str | None] = {
            **{record.id: record.scope_digest for record in self._records if record.matched},
            **{guard.request_id: guard.scope_digest for guard in guards},
        }
        return frozenset() if self._scopes is None else await self._scopes.refresh(wanted)

    async def _preload(self) -> None:
        try:
            await self._preloader.preload(self.always)
            self._preloaded = True
        except AdapterUnavailable as error:
            logger.error("an active adapter cannot be installed; requests are refused: %s", error.message)

    @property
    def ready(self) -> bool:
        """Whether every active adapter is in the engine."""
        return self._preloaded


def _turn(record: RequestRecord) -> float:
    """Where it stands among the adapters of a plan; those that are not active come last."""
    return record.activated_seq or 0 if record.state is RequestState.ACTIVE else math.inf

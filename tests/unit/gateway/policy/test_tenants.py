"""A caller is bound by its tenant's requests and by everybody's, and shares no cache with other tenants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.artifact.footprint import Footprint
from gateway.access.api_key import GLOBAL_TENANT
from gateway.errors import TooManyMatches
from gateway.policy.active import ActivePolicy
from gateway.policy.scope.scopes import Scopes
from gateway.store.generation import GenerationFile
from gateway.store.records import RequestRecord
from tests.unit.gateway.policy.test_active import Edges, build, record


class Named(Scopes):
    """Finds a request where its id stands in the text, and has the scopes of all."""

    def __init__(self) -> None:
        self.held: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        return self.held

    async def refresh(self, wanted: Mapping[str, str | None]) -> frozenset[str]:
        self.held = frozenset(wanted)
        return self.held

    async def matches(self, text: str) -> tuple[str, ...]:
        return tuple(sorted(each for each in self.held if each in text))


def request(name: str, tenant: str, *, matched: bool = False, digest: str = "") -> RequestRecord:
    scope = {"prompts": "matched"} if matched else {}
    return replace(record(name, (digest or name)[0] * 64), tenant=tenant, scope=scope, footprint=Footprint(20))


@pytest.fixture
async def edges() -> Edges:
    edges = Edges()
    edges.records = [
        request("all", GLOBAL_TENANT),
        request("beta", "beta"),
        request("corp", "corp"),
        request("dora", GLOBAL_TENANT, matched=True),
        request("eve", "beta", matched=True),
        request("fay", "corp", matched=True),
        request("beta2", "beta", digest="x"),
    ]
    return edges


@pytest.fixture
async def policy(edges: Edges, tmp_path: Path) -> ActivePolicy:
    policy = build(edges, GenerationFile(tmp_path), scopes=Named(), prompt_budget=80)
    await policy.refresh()
    return policy


@pytest.mark.parametrize(
    ("tenant", "applied"),
    [("beta", "all,beta,beta2"), ("corp", "all,corp"), ("none-of-its-own", "all"), (GLOBAL_TENANT, "all")],
)
def test_what_always_applies_to_a_tenant(policy: ActivePolicy, tenant: str, applied: str) -> None:
    assert policy.plan(tenant).applied == applied


@pytest.mark.parametrize(
    ("tenant", "applied"),
    [
        ("beta", "all,beta,eve,beta2"),
        ("corp", "all,corp,fay"),
        ("none-of-its-own", "all"),
        (GLOBAL_TENANT, "all"),
    ],
)
async def test_a_prompt_is_about_a_tenants_own_requests_alone(policy: ActivePolicy, tenant: str, applied: str) -> None:
    plans = policy.matched(tenant)
    assert plans is not None
    assert (await plans.plan("eve and fay")).applied == applied
    assert (await plans.plan("dora")).requests == tuple(
        each for each in ("all", "beta", "corp", "dora", "beta2") if each in {*policy.plan(tenant).requests, "dora"}
    )


async def test_what_others_match_takes_no_room(policy: ActivePolicy) -> None:
    beta, corp = policy.matched("beta"), policy.matched("corp")
    assert beta is not None
    assert corp is not None
    assert (await corp.plan("dora, eve, fay")).rows == 80
    with pytest.raises(TooManyMatches, match="about 2 unlearning requests, which need 100"):
        await beta.plan("dora, eve, fay")


async def test_tenants_share_no_cache_even_where_the_same_applies(policy: ActivePolicy) -> None:
    names = [GLOBAL_TENANT, "beta", "corp", "third", "fourth"]
    assert len({policy.plan(name).cache_salt for name in names}) == len(names)
    assert policy.plan("third").adapters == policy.plan("fourth").adapters
    matched = [policy.matched(name) for name in ("third", "fourth")]
    salts = [(await plans.plan("dora")).cache_salt for plans in matched if plans is not None]
    assert salts[0] != salts[1]
    assert policy.plan("third").cache_salt == policy.plan("third").cache_salt


async def test_what_is_kept_in_the_engine_does_not_grow_with_the_tenants(policy: ActivePolicy, edges: Edges) -> None:
    for number in range(100):
        edges.records.append(request(f"more{number}", f"tenant{number}", digest=f"{number}"))
    edges.number += 1
    await policy.refresh()
    assert policy.plan("tenant99").applied == "all,more99"
    assert [adapter.request_id for adapter in edges.preloaded[-1]] == ["all"]
    assert {adapter.request_id for adapter in policy.adapters} >= {"all", "beta", "corp"}


async def test_a_change_counts_for_tenants_that_asked_before(policy: ActivePolicy, edges: Edges) -> None:
    assert policy.plan("beta").applied == "all,beta,beta2"
    edges.records = [each for each in edges.records if each.id != "beta"]
    edges.number += 1
    await policy.refresh()
    assert policy.plan("beta").applied == "all,beta2"


async def test_a_tenant_without_matched_requests_has_no_prompt_looked_at(policy: ActivePolicy, edges: Edges) -> None:
    edges.records = [each for each in edges.records if each.id != "dora"]
    edges.number += 1
    await policy.refresh()
    assert policy.matched("third") is policy.matched() is None
    assert policy.matched("beta") is not None

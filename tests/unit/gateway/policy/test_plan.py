"""Cache salts tell plans apart, and reveal nothing."""

from __future__ import annotations

import re
from dataclasses import replace

from adapters.artifact.footprint import Footprint
from gateway.policy.plan import AdapterRef, PlanBuilder, PlanMode

A, B = AdapterRef("req_a", "a" * 64, Footprint(3)), AdapterRef("req_b", "b" * 64, Footprint(2))


def test_every_part_of_a_plan_changes_its_salt() -> None:
    builder = PlanBuilder(b"key")
    plans = [
        builder.build(PlanMode.ACTIVE, ()),
        builder.build(PlanMode.OFF, ()),
        builder.build(PlanMode.ACTIVE, (A,)),
        builder.build(PlanMode.CANDIDATE, (A,)),
        builder.build(PlanMode.ACTIVE, (A, B)),
        builder.build(PlanMode.ACTIVE, (B, A)),
        builder.build(PlanMode.ACTIVE, (A,), tenant="other"),
        PlanBuilder(b"another key").build(PlanMode.ACTIVE, (A,)),
    ]
    assert len({plan.cache_salt for plan in plans}) == len(plans)


def test_the_same_plan_has_the_same_salt() -> None:
    first, second = (PlanBuilder(b"key").build(PlanMode.ACTIVE, (A, B)) for _ in range(2))
    assert first == second


def test_salts_are_made_of_what_vllm_accepts() -> None:
    salt = PlanBuilder(b"key").build(PlanMode.ACTIVE, (A,)).cache_salt
    assert re.fullmatch(r"[A-Za-z0-9_=-]{32}", salt)
    assert A.digest not in salt


def test_rows_and_applied() -> None:
    plan = PlanBuilder(b"key").build(PlanMode.ACTIVE, (A, B))
    assert plan.rows == 5
    assert plan.applied == "req_a,req_b"
    assert PlanBuilder(b"key").build(PlanMode.OFF, ()).applied == "none"


def test_two_requests_with_one_adapter_apply_it_once_and_are_both_named() -> None:
    builder = PlanBuilder(b"key")
    twice = builder.build(PlanMode.ACTIVE, (A, replace(A, request_id="req_c"), B, replace(B, request_id="req_d")))
    assert twice.adapters == (A, B)
    assert (twice.rows, twice.applied) == (5, "req_a,req_c,req_b,req_d")
    assert twice.cache_salt == builder.build(PlanMode.ACTIVE, (A, B)).cache_salt, "they compute the same"

"""No policy context, no answer."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from gateway.errors import PolicyUnavailable
from gateway.policy import context
from gateway.policy.plan import PlanBuilder, PlanMode


def test_without_a_context_the_request_is_refused() -> None:
    with pytest.raises(PolicyUnavailable):
        contextvars.Context().run(context.require)


async def test_tasks_started_by_a_request_inherit_its_context() -> None:
    holding: Any = object()
    bound = context.PolicyContext(PlanBuilder(b"k").build(PlanMode.OFF, ()), holding)
    context.bind(bound)

    async def inner() -> context.PolicyContext:
        return context.require()

    assert await asyncio.create_task(inner()) is bound

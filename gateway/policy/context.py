"""What the middleware decided for a request, carried to the engine's door."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from gateway.errors import PolicyUnavailable
from gateway.policy.plan import Plan


@dataclass(slots=True)
class PolicyContext:
    """One per model request. `overhead_s` adds up what the gateway itself spent before the engine got the prompt."""

    plan: Plan
    overhead_s: float = field(default=0.0)


_current: ContextVar[PolicyContext | None] = ContextVar("unlearning_policy_context", default=None)


def bind(context: PolicyContext) -> None:
    """Set the context of the running task and of the tasks it will start."""
    _current.set(context)


def require() -> PolicyContext:
    """The context of the request being served. Raises `PolicyUnavailable` when there is none: fail closed."""
    context = _current.get()
    if context is None:
        raise PolicyUnavailable("no unlearning policy was decided for this request; it is refused")
    return context

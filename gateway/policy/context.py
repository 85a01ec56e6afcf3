"""What the middleware decided for a request, carried to the engine's door."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, PolicyUnavailable
from gateway.policy.plan import Plan

if TYPE_CHECKING:
    from gateway.engine.residency.holdings import Holding


@dataclass(slots=True)
class PolicyContext:
    """One per model request.

    Attributes:
        plan: which adapters apply.
        holding: these adapters, held in the engine.
        overhead_s: what the gateway itself spent before the engine got the prompt.
        answering: whether the engine has given a first output.
        refusal: why the door refused the request, where it did so before any output.
    """

    plan: Plan
    holding: Holding
    overhead_s: float = 0.0
    answering: bool = False
    refusal: GatewayError | None = None


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

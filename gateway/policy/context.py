"""What the middleware decided for a request, carried to the engine's door."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.access.usage import Usage
from gateway.errors import GatewayError, PolicyUnavailable
from gateway.policy.plan import Plan, listed

if TYPE_CHECKING:
    from gateway.engine.residency.holdings import Holding
    from gateway.policy.active import MatchedPlans


@dataclass(slots=True)
class PolicyContext:
    """One per model request.

    Attributes:
        plan: which adapters apply whatever is asked.
        holding: these adapters, held in the engine.
        matched: plans each prompt, where more may apply to it.
        applied: ids of the requests that apply, those of its prompts included as far as these are known;
            `<id>;interim` of those that have a prompt refused.
        overhead_s: what the gateway itself spent before the engine got the prompt.
        confirmed: digests of the adapters that a worker says it applied to one of its prompts.
        answering: whether the engine has given a first output.
        refused: whether the answer is a refusal, because a request guards.
        refusal: why the door refused the request, where it did so before any output.
        usage: tokens of its prompts and of what was answered so far.
    """

    plan: Plan
    holding: Holding
    overhead_s: float = 0.0
    matched: MatchedPlans | None = None
    applied: dict[str, None] = field(default_factory=dict)
    confirmed: dict[str, None] = field(default_factory=dict)
    answering: bool = False
    refused: bool = False
    refusal: GatewayError | None = None
    usage: Usage = field(default_factory=Usage)

    def apply(self, plan: Plan) -> None:
        """Note what applies to one of its prompts."""
        self.applied.update(dict.fromkeys(plan.requests))
        self.applied.update(dict.fromkeys(f"{request_id};interim" for request_id in plan.guards))

    def confirm(self, plan: Plan) -> None:
        """Note that a worker says it applied this plan to an output."""
        self.confirmed.update(dict.fromkeys(adapter.digest for adapter in plan.adapters))

    @property
    def digests(self) -> str:
        """Value of the `x-unlearning-digests` header."""
        return listed(self.confirmed)

    @property
    def header(self) -> str:
        """Value of the `x-unlearning-applied` header."""
        return listed(dict.fromkeys([*self.plan.requests, *self.applied]))


_current: ContextVar[PolicyContext | None] = ContextVar("unlearning_policy_context", default=None)


def bind(context: PolicyContext) -> None:
    """Set the context of the running task and of the tasks it will start."""
    _current.set(context)


def current() -> PolicyContext | None:
    """The context of the request being served, if there is one."""
    return _current.get()


def require() -> PolicyContext:
    """The context of the request being served. Raises `PolicyUnavailable` when there is none: fail closed."""
    context = _current.get()
    if context is None:
        raise PolicyUnavailable("no unlearning policy was decided for this request; it is refused")
    return context

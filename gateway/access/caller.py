"""Who is calling, for the length of a request."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from gateway.access.api_key import GLOBAL_TENANT, NO_LIMITS, Limits, Role
from gateway.errors import Forbidden, Unauthorized


@dataclass(frozen=True, slots=True)
class Caller:
    """What the service knows of a caller.

    key: id of the API key, or the name of what stands for one, for logs. role None: nobody in particular.
    """

    key: str
    role: Role | None = None
    tenant: str = GLOBAL_TENANT
    limits: Limits = NO_LIMITS

    @property
    def everywhere(self) -> bool:
        """Whether the caller belongs to no tenant."""
        return self.tenant == GLOBAL_TENANT

    @property
    def is_operator(self) -> bool:
        """The operator of everything, and not of one tenant."""
        return self.role is Role.OPERATOR and self.everywhere

    def sees(self, tenant: str) -> bool:
        """Whether what belongs to this tenant is there for the caller: its own, and what is everybody's."""
        return self.everywhere or tenant in (self.tenant, GLOBAL_TENANT)

    def manages(self, tenant: str) -> bool:
        """Whether the caller, where it may change anything, may change what belongs to this tenant."""
        return self.everywhere or tenant == self.tenant

    def tenant_for(self, named: str | None) -> str:
        """Whom something that the caller makes belongs to. Raises `Forbidden` for another tenant than its own."""
        if named is not None and not self.manages(named):
            raise Forbidden(f"what belongs to another tenant than {self.tenant} takes the operator of all tenants")
        return self.tenant if named is None else named


ANONYMOUS = Caller("none")

_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def bind(caller: Caller) -> None:
    """Set the caller of the running task and of the tasks it will start."""
    _current.set(caller)


def require() -> Caller:
    """The caller of the request being served. Raises `Unauthorized` where none was identified: fail closed."""
    caller = _current.get()
    if caller is None:
        raise Unauthorized("nobody was identified for this request")
    return caller


def name() -> str:
    """The caller's key for a log; "-" where no request is being served."""
    caller = _current.get()
    return "-" if caller is None else caller.key

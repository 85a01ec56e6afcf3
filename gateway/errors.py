"""Every error the gateway raises on purpose; each knows its HTTP status and OpenAI error type.

GatewayError
├── InvalidRequest (400)
│   ├── ForbiddenField (400)        a request field that could bypass the adapters
│   └── ForbiddenToken (400)        a virtual or out-of-vocabulary token id in a prompt
├── Unauthorized (401)
├── Forbidden (403)                 an operator-only plan or route
│   └── WrongRole                   a key that is not for this
├── NotFound (404)
│   └── Redacted (410)              it was here, and was erased for good
├── MethodNotAllowed (405)
├── Conflict (409)
│   ├── StateConflict               the request is not in a state that allows the step
│   ├── IdempotencyConflict         the same key came with another body
│   ├── BudgetExceeded              the active adapters would not fit
│   ├── ArtifactMismatch            an adapter made for another model
│   └── TooManyKeys                 no API key more can be kept
├── PayloadTooLarge (413)
├── Unprocessable (422)             a body that does not validate
├── RateLimited (429)               a limit of the caller's key
├── PolicyUnavailable (503)         the policy is unknown or too old; refused, never served without
├── KeysUnavailable (503)           the API keys are unknown or too old
├── AdapterUnavailable (503)        an adapter the plan needs cannot be installed
├── AdaptersNotApplied (503)        a worker has applied something else than the plan
├── LogitsFault (503)               the model gave logits that are not finite, and no adapter is to blame
├── StoreUnavailable (503)          Redis is away
│   └── DataLost                    Redis does not hold what it held: never believed
└── NotReady (503)                  starting up or draining
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class GatewayError(Exception):
    """Base error. `message` is safe to show to a caller: it never quotes forget or retain text."""

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"
    retry_after_s: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class ForbiddenField(InvalidRequest):
    code = "forbidden_field"


class ForbiddenToken(InvalidRequest):
    code = "forbidden_token"


class Unauthorized(GatewayError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(GatewayError):
    status = 403
    type = "permission_error"
    code = "operator_only"


class WrongRole(Forbidden):
    code = "wrong_role"


class NotFound(GatewayError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class Redacted(NotFound):
    status = 410
    code = "redacted"


class MethodNotAllowed(GatewayError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(GatewayError):
    status = 409
    type = "conflict_error"
    code = "conflict"


class StateConflict(Conflict):
    code = "state_conflict"


class IdempotencyConflict(Conflict):
    code = "idempotency_conflict"


class BudgetExceeded(Conflict):
    code = "adapter_budget_exceeded"


class ArtifactMismatch(Conflict):
    code = "artifact_mismatch"


class TooManyKeys(Conflict):
    code = "too_many_keys"


class PayloadTooLarge(GatewayError):
    status = 413
    type = "invalid_request_error"
    code = "payload_too_large"


class Unprocessable(GatewayError):
    status = 422
    type = "invalid_request_error"
    code = "unprocessable"


class RateLimited(GatewayError):
    """kind: of the limit, which OpenAI has as the type. headers: say what is left of the others."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, kind: str, wait_s: float, *, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.type = kind
        self.retry_after_s = max(1, math.ceil(wait_s))
        self.headers = headers


class PolicyUnavailable(GatewayError):
    status = 503
    type = "server_error"
    code = "policy_unavailable"
    retry_after_s = 2


class KeysUnavailable(GatewayError):
    status = 503
    type = "server_error"
    code = "keys_unavailable"
    retry_after_s = 2


class AdapterUnavailable(GatewayError):
    status = 503
    type = "server_error"
    code = "adapter_unavailable"
    retry_after_s = 5


class AdaptersNotApplied(GatewayError):
    status = 503
    type = "server_error"
    code = "adapters_not_applied"
    retry_after_s = 5


class ScopeUnreadable(GatewayError):
    """What says which prompts a request applies to cannot be read, or was made by another encoder."""

    code = "scope_unreadable"


class TooManyMatches(GatewayError):
    """A prompt that is about more requests than may apply together."""

    status = 409
    code = "too_many_matches"


class LogitsFault(GatewayError):
    status = 503
    type = "server_error"
    code = "logits_not_finite"
    retry_after_s = 5


class StoreUnavailable(GatewayError):
    status = 503
    type = "server_error"
    code = "store_unavailable"
    retry_after_s = 2


class DataLost(StoreUnavailable):
    code = "redis_data_lost"


class NotReady(GatewayError):
    status = 503
    type = "server_error"
    code = "not_ready"
    retry_after_s = 2

"""Bodies and answers of `/keys`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.access.api_key import Limits, Role

#: Also a part of cache salts, whose parts are set apart by a character that is not in it.
Tenant = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]

_DAY_S = 24 * 3600
_Count = Annotated[int, Field(ge=1, le=10**12)]


class LimitsBody(BaseModel):
    """What the key may use of the model; left out: as much as it likes."""

    model_config = ConfigDict(extra="forbid")

    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = Field(default=None, description="of prompts and answers together")
    concurrent_requests: _Count | None = None

    def limits(self) -> Limits:
        return Limits(self.requests_per_minute, self.tokens_per_minute, self.concurrent_requests)


class KeyBody(BaseModel):
    """`POST /keys`."""

    model_config = ConfigDict(extra="forbid")

    role: Role = Field(
        default=Role.CLIENT,
        description="client: uses the model; operator: also manages the requests and keys of its tenant; auditor: "
        "reads /forget and /keys",
    )
    tenant: Tenant | None = Field(
        default=None, description="whom the key belongs to; left out: to whom the key that makes it belongs"
    )
    name: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = Field(
        default=None, description="a label for listings, stored in clear"
    )
    expires_in_s: Annotated[int, Field(ge=1, le=10 * 366 * _DAY_S)] | None = Field(
        default=None, description="seconds until the key ends by itself; left out: never"
    )
    limits: LimitsBody = LimitsBody()


class RotationBody(BaseModel):
    """`POST /keys/{id}/rotate`."""

    model_config = ConfigDict(extra="forbid")

    grace_s: int = Field(
        default=_DAY_S, ge=0, le=30 * _DAY_S, description="seconds for which the token before this one still counts"
    )


class KeyList(BaseModel):
    """`GET /keys`."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]

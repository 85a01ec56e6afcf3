"""`/doctor`: the self-check, also while the service is not ready. `GatewayMiddleware` lets only the operator in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from gateway.errors import NotFound
from gateway.http.routing import GatewayRoute
from gateway.selfcheck.run import SelfCheck

router = APIRouter(prefix="/doctor", tags=["operations"], route_class=GatewayRoute)


@router.post("")
async def check(request: Request) -> dict[str, Any]:
    """Run every check now; takes seconds."""
    checks: SelfCheck = request.app.state.self_check
    return (await checks.run()).to_dict()


@router.get("")
async def last(request: Request) -> dict[str, Any]:
    """The newest report."""
    checks: SelfCheck = request.app.state.self_check
    if checks.last is None:
        raise NotFound("no self-check has ended yet")
    return checks.last.to_dict()

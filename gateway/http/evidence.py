"""Evidence over HTTP: the report of a request as JSON and as a page, and what the service serves with."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import HTMLResponse

from gateway.access import caller as callers
from gateway.errors import Forbidden
from gateway.evidence.report.page import content_security_policy, render
from gateway.http.forget import Managed, Seen
from gateway.http.routing import GatewayRoute
from gateway.requests.reports import Reports

router = APIRouter(tags=["evidence"], route_class=GatewayRoute)

_HTML = "text/html"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",
    "X-Content-Type-Options": "nosniff",
}


class Format(StrEnum):
    """How a report is given."""

    JSON = "json"
    HTML = "html"


def _reports(request: Request) -> Reports:
    reports: Reports = request.app.state.reports
    return reports


@router.get("/forget/{request_id}/report", response_class=Response)
async def report(
    record: Seen, request: Request, accept: Annotated[str, Header()] = "*/*", format: Format | None = None
) -> Response:
    """The last report of a request: JSON, or a page to read and print (`Accept: text/html`, or `?format=html`)."""
    found = await _reports(request).latest(record.id)
    if format is Format.HTML or (format is None and _HTML in accept.lower()):
        policy = f"{content_security_policy()}; frame-ancestors 'none'"
        return HTMLResponse(render(found), headers={**_HEADERS, "Content-Security-Policy": policy})
    return Response(found, media_type="application/json", headers=_HEADERS)


@router.delete("/forget/{request_id}/probes", status_code=204)
async def erase_probes(request_id: Managed, request: Request) -> None:
    """Delete what was kept to evaluate a request again."""
    await _reports(request).erase_probes(request_id)


@router.get("/evidence/manifest")
async def manifest(request: Request) -> dict[str, Any]:
    """Digests of all that can change an answer of this service, without any adapter; for the operator's worker."""
    if not callers.require().is_operator:
        raise Forbidden("/evidence/manifest takes the operator's token as `Authorization: Bearer …`")
    return _reports(request).served.to_dict()

"""`/forget/{id}/certificate`: the file that a stranger checks without asking the service."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from gateway.evidence.certificate.bundle import MEDIA_TYPE
from gateway.http.forget import Seen
from gateway.http.routing import GatewayRoute
from gateway.requests.certifier import Certifier

router = APIRouter(prefix="/forget", tags=["evidence"], route_class=GatewayRoute)


@router.get("/{request_id}/certificate", response_class=Response)
async def certificate(record: Seen, request: Request) -> Response:
    """The certificate of the newest report: signatures, report, and proofs that they are in the log."""
    certifier: Certifier = request.app.state.certifier
    bundle = await certifier.bundle(record)
    name = f'attachment; filename="{record.id}.unlearning-certificate.json"'
    return Response(bundle.to_json(), media_type=MEDIA_TYPE, headers={"content-disposition": name})

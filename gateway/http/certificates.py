"""`/forget/{id}/certificate`, the file that a stranger checks without asking the service; `/forget/{id}/verify`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.evidence.certificate.bundle import MEDIA_TYPE
from gateway.http.forget import Managed, Seen
from gateway.http.routing import GatewayRoute
from gateway.requests.certifier import Certifier
from gateway.requests.reverification import Reverification
from gateway.requests.service import UnlearningService

router = APIRouter(prefix="/forget", tags=["evidence"], route_class=GatewayRoute)


@router.get("/{request_id}/certificate", response_class=Response)
async def certificate(record: Seen, request: Request) -> Response:
    """The certificate of the newest report: signatures, report, and proofs that they are in the log."""
    certifier: Certifier = request.app.state.certifier
    bundle = await certifier.bundle(record)
    name = f'attachment; filename="{record.id}.unlearning-certificate.json"'
    return Response(bundle.to_json(), media_type=MEDIA_TYPE, headers={"content-disposition": name})


@router.post("/{request_id}/verify", status_code=202)
async def verify(request_id: Managed, request: Request) -> dict[str, Any]:
    """Have a worker evaluate a request again by the probes that were kept; it ends in another report."""
    service: UnlearningService = request.app.state.unlearning
    reverification: Reverification = request.app.state.reverification
    record = await service.store.get(request_id)
    await reverification.ask(record)
    return record.to_dict()

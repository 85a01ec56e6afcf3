"""`/forget`: register unlearning requests, look at them, switch them on and off, retire them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from gateway.access import caller as callers
from gateway.access.api_key import Role
from gateway.errors import Forbidden, InvalidRequest, NotFound
from gateway.http.routing import GatewayRoute
from gateway.requests.schemas import ExamplesBody, ForgetBody, RequestList
from gateway.requests.service import UnlearningService
from gateway.store.events import FIRST, check_event_id
from gateway.store.records import RequestRecord, RequestState

#: Without a space at either end, which HTTP takes off.
_IDEMPOTENCY_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")

router = APIRouter(prefix="/forget", tags=["unlearning"], route_class=GatewayRoute)


def _service(request: Request) -> UnlearningService:
    service: UnlearningService = request.app.state.unlearning
    return service


async def _seen(request_id: str, request: Request) -> RequestRecord:
    """The request, where the caller may know of it. Raises `NotFound`."""
    record = await _service(request).store.get(request_id)
    if not callers.require().sees(record.tenant):
        raise NotFound(f"no unlearning request {request_id!r}")
    return record


async def _managed(record: Annotated[RequestRecord, Depends(_seen)]) -> str:
    """Id of the request, where the caller may change it and read its texts. Raises `NotFound`, `Forbidden`."""
    caller = callers.require()
    if caller.role is Role.AUDITOR or not caller.manages(record.tenant):
        raise Forbidden("this request takes its tenant's operator, or the operator of all tenants")
    return record.id


def _shown(record: RequestRecord) -> dict[str, Any]:
    """The record, without notes about requests that the caller may not know of."""
    caller = callers.require()
    return record.to_dict() | {"interference": [note for note in record.interference if caller.sees(note["tenant"])]}


Seen = Annotated[RequestRecord, Depends(_seen)]
Managed = Annotated[str, Depends(_managed)]


@router.post("", status_code=202)
async def register(
    body: ForgetBody,
    request: Request,
    response: Response,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> dict[str, Any]:
    """Register an unlearning request. Training starts at once; follow it at the `Location`'s `/events`."""
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 printable ASCII characters", param="Idempotency-Key")
    tenant = callers.require().tenant_for(body.tenant)
    record = await _service(request).register(body, idempotency_key, tenant=tenant)
    response.headers["Location"] = f"/forget/{record.id}"
    return _shown(record)


@router.get("")
async def list_requests(
    request: Request,
    state: RequestState | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> RequestList:
    """All requests that apply to the caller's tenant, newest first; or those in one state."""
    page = await _service(request).store.list(state, limit, cursor, tenant=callers.require().tenant)
    return RequestList(data=[_shown(record) for record in page.items], next_cursor=page.next_cursor)


@router.get("/{request_id}")
async def show(record: Seen) -> dict[str, Any]:
    """One request: its state, settings, progress and evidence."""
    return _shown(record)


@router.get("/{request_id}/events", response_class=StreamingResponse)
async def events(
    record: Seen,
    request: Request,
    last_event_id: Annotated[str, Header()] = FIRST,
) -> StreamingResponse:
    """Server-sent events: `state` and `progress`, replayed from the start or from `Last-Event-ID`, then live."""
    store = _service(request).store
    # What is wrong must be a status, not a broken stream.
    check_event_id(last_event_id)

    async def stream() -> AsyncIterator[str]:
        async for event in store.events(record.id, last_event_id, heartbeat=True):
            if event.type == "ping":
                yield ": ping\n\n"
            else:
                yield f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(event.data)}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-cache"})


@router.get("/{request_id}/examples")
async def examples(request_id: Managed, request: Request, response: Response) -> dict[str, Any]:
    """The forget set of a draft, as the model gave it. As `forget` of the PUT it is taken back."""
    response.headers["Cache-Control"] = "no-store"
    found = await _service(request).examples(request_id)
    return {
        "forget": [
            {"messages": [*item["messages"], {"role": "assistant", "content": item["completion"]}]} for item in found
        ]
    }


@router.put("/{request_id}/examples")
async def replace_examples(request_id: Managed, body: ExamplesBody, request: Request) -> dict[str, Any]:
    """Another forget set for a draft."""
    return _shown(await _service(request).replace_examples(request_id, body))


@router.post("/{request_id}/train", status_code=202)
async def train(request_id: Managed, request: Request) -> dict[str, Any]:
    """Train a draft on its forget set as it is now."""
    return _shown(await _service(request).train(request_id))


@router.post("/{request_id}/activate")
async def activate(request_id: Managed, request: Request) -> dict[str, Any]:
    """Apply a ready request to every answer that starts from now on."""
    return _shown(await _service(request).activate(request_id))


@router.post("/{request_id}/deactivate")
async def deactivate(request_id: Managed, request: Request) -> dict[str, Any]:
    """Stop applying an active request; it stays ready."""
    return _shown(await _service(request).deactivate(request_id))


@router.delete("/{request_id}")
async def retire(request_id: Managed, request: Request) -> dict[str, Any]:
    """Retire a request for good: it stops applying or training, its texts and its adapter are erased."""
    return _shown(await _service(request).retire(request_id))

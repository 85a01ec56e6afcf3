"""`/keys`: API keys, for operators; auditors read them. `GatewayMiddleware` lets nobody else in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gateway.access import caller as callers
from gateway.access.api_key import ApiKey
from gateway.access.schemas import KeyBody, KeyList, RotationBody
from gateway.access.service import KeyService
from gateway.http.routing import GatewayRoute

router = APIRouter(prefix="/keys", tags=["keys"], route_class=GatewayRoute)


def _service(request: Request) -> KeyService:
    service: KeyService = request.app.state.keys
    return service


def _with_token(key: ApiKey, token: str, response: Response) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    return {**key.to_public(), "token": token}


@router.post("", status_code=201)
async def create(body: KeyBody, request: Request, response: Response) -> dict[str, Any]:
    """Make a key. Its `token` is in this answer and in no other."""
    key, token = await _service(request).create(callers.require(), body)
    response.headers["Location"] = f"/keys/{key.id}"
    return _with_token(key, token, response)


@router.get("")
async def list_keys(request: Request) -> KeyList:
    """All keys, newest first: those of the caller's tenant, or of every tenant."""
    return KeyList(data=[key.to_public() for key in await _service(request).list(callers.require())])


@router.get("/{key_id}")
async def show(key_id: str, request: Request) -> dict[str, Any]:
    """One key, without its token."""
    return (await _service(request).get(callers.require(), key_id)).to_public()


@router.post("/{key_id}/rotate")
async def rotate(key_id: str, request: Request, response: Response, body: RotationBody | None = None) -> dict[str, Any]:
    """Another token for the key, in this answer alone. The one before it counts for `grace_s` more seconds."""
    grace_s = (body or RotationBody()).grace_s
    key, token = await _service(request).rotate(callers.require(), key_id, grace_s)
    return _with_token(key, token, response)


@router.delete("/{key_id}")
async def revoke(key_id: str, request: Request) -> dict[str, Any]:
    """Refuse the key from now on."""
    return (await _service(request).revoke(callers.require(), key_id)).to_public()

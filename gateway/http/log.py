"""`/log` and `/evidence`: the transparency log as C2SP's tlog-tiles has it, and the keys it is signed with.

Who may read the log is not asked: its leaves are salted digests. What is behind them is for those who may see the
request.
"""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.errors import NotFound
from gateway.evidence.errors import ConsistencyInvalid, Malformed
from gateway.evidence.log.checkpoint import NoteKey
from gateway.evidence.log.tiles import parse_path
from gateway.evidence.log.witness import checked
from gateway.http.forget import Managed, Seen
from gateway.http.routing import GatewayRoute
from gateway.service.sequencer import Sequencer
from gateway.store.log import LogStore

_MOST_LEAVES = 2**63 - 1
_SOON_OLD = {"Cache-Control": "max-age=1"}
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_NOTE = {"requestBody": {"required": True, "content": {"text/plain": {"schema": {"type": "string"}}}}}

router = APIRouter(tags=["log"], route_class=GatewayRoute)

Index = Annotated[int, Path(ge=0, le=_MOST_LEAVES)]
Size = Annotated[int, Query(ge=0, le=_MOST_LEAVES)]


@dataclass(frozen=True, slots=True)
class LogAccess:
    """What the routes need. witnesses: whose cosignatures are kept."""

    store: LogStore
    sequencer: Sequencer
    witnesses: tuple[NoteKey, ...]


class _Tile(Response):
    media_type = "application/octet-stream"


def _log(request: Request) -> LogAccess:
    access: LogAccess = request.app.state.log
    return access


@router.get("/log/checkpoint", response_class=PlainTextResponse)
async def checkpoint(request: Request) -> PlainTextResponse:
    """The newest signed checkpoint, with the lines of witnesses that have cosigned it."""
    return PlainTextResponse(await _log(request).store.checkpoint(), headers=_SOON_OLD)


@router.get("/log/cosigned", response_class=PlainTextResponse)
async def cosigned(request: Request) -> PlainTextResponse:
    """The newest checkpoint that a witness has cosigned; the log may have grown since."""
    note = await _log(request).store.cosigned()
    if note is None:
        raise NotFound("no witness has cosigned the log yet")
    return PlainTextResponse(note, headers=_SOON_OLD)


@router.post("/log/cosignatures", status_code=202, openapi_extra=_NOTE)
async def cosign(request: Request) -> dict[str, Any]:
    """Add a witness's lines: a checkpoint of this log, signed by it and by one of its witnesses at least."""
    log = _log(request)
    try:
        note = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise Malformed("a checkpoint is UTF-8") from error
    found = checked(note, await log.store.keys(), log.witnesses)
    if await log.store.root(found.checkpoint.size) != found.checkpoint.root:
        raise ConsistencyInvalid("the log's tree has another root")
    kept = await log.store.put_cosignatures(found.checkpoint.size, found.note, found.lines)
    return {"size": found.checkpoint.size, "witnesses": sorted(found.lines), "kept": kept}


@router.get("/log/tile/{path:path}", response_class=_Tile)
async def tile(path: str, request: Request, accept_encoding: Annotated[str, Header()] = "") -> Response:
    """A tile of the tree or a bundle of leaves: `0/x001/234`, `entries/007.p/12`."""
    try:
        name, width = parse_path(path)
    except Malformed as error:
        raise NotFound(error.message) from error
    data, headers = await _log(request).store.tile(name, width), dict(_IMMUTABLE)
    if name.level is None and "gzip" in accept_encoding:
        data, headers["Content-Encoding"] = gzip.compress(data, mtime=0), "gzip"
    return _Tile(data, headers=headers)


@router.get("/log/consistency")
async def consistency(old: Size, new: Size, request: Request) -> dict[str, Any]:
    """The proof that the log of `new` leaves is that of `old` leaves and more: RFC 6962, hashes in base64."""
    proof = await _log(request).store.consistency(old, new)
    return {"old": old, "new": new, "proof": [base64.b64encode(each).decode() for each in proof]}


@router.get("/log/proof/{index}", response_class=PlainTextResponse)
async def proof(index: Index, request: Request) -> PlainTextResponse:
    """The `.tlog-proof` file of a leaf: its place in the log, to be checked offline."""
    return PlainTextResponse(await _log(request).store.proof_file(index), headers=_SOON_OLD)


@router.post("/log/redact/{request_id}")
async def redact(request_id: Managed, request: Request) -> dict[str, Any]:
    """Erase what is behind a request's leaves, for good. The leaves stay, and nobody can tell what they were about."""
    return {"request": request_id, "redacted": await _log(request).store.redact(request_id)}


@router.get("/forget/{request_id}/openings")
async def openings(record: Seen, request: Request, response: Response) -> dict[str, Any]:
    """What is behind a request's leaves: of each its index, its salt and its body."""
    response.headers["Cache-Control"] = "no-store"
    found = await _log(request).store.openings(record.id)
    return {"object": "list", "data": [opening.to_dict() for opening in found]}


@router.get("/evidence/keys", response_class=PlainTextResponse)
async def keys(request: Request) -> PlainTextResponse:
    """The log's public keys, old and new, in PEM, each under a line that says what became of it."""
    return PlainTextResponse((await _log(request).store.keys()).to_pem(), headers=_SOON_OLD)


@router.post("/evidence/keys/replace")
async def replace_key(request: Request) -> dict[str, Any]:
    """Go on under this host's key where the one before it is lost."""
    public = await _log(request).sequencer.replace_key()
    return {"ed25519": public.ed25519_id, "mldsa44": public.mldsa44_id}


@router.post("/evidence/keys/{key_id}/revoke")
async def revoke_key(key_id: str, request: Request) -> dict[str, Any]:
    """Let a retired key count no longer, by either of its ids."""
    await _log(request).sequencer.revoke_key(key_id)
    return {"revoked": key_id}

"""A small real HTTP service with the gateway's routes, whose answers a test lays down."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from tests.unit.gateway.evidence.report.samples import report

MODEL = "SmolLM2-135M-Instruct"
OPERATOR_TOKEN = "op-test"
END_OF_TURN = "\x03"


@dataclass(frozen=True)
class Call:
    """One request as the service got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Stub:
    """What the service knows and got.

    Attributes:
        answers: question → answer with the adapters off, whatever it is made to begin with; `forgotten` ones differ
            with them on.
        losses: text that a prompt ends with → of each of its tokens, with the adapters off; `losses_after` with them
            on, where they differ.
        begun: the answer to a forgotten question where its answer was begun, if that is another one.
        streams: for each connection to an event stream, the text it gets; a None at its end breaks the connection.
        refusals: "METHOD /path" → the error it answers.
        draft: the forget set of every draft.
        after_train: the state a draft is in once its training was asked for.
        report: of the self-check.
        evidence: the report of every request.
        keys: the API keys.
        evidence_keys: the log's public keys, as PEM, at each question; the last one stays.
        certificates: by request.
    """

    url: str = ""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    forgotten: dict[str, str] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    losses_after: dict[str, float] = field(default_factory=dict)
    begun: str = ""
    streams: list[list[str | None]] = field(default_factory=list)
    refusals: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    on_register: dict[str, Any] = field(default_factory=lambda: {"state": "queued"})
    draft: list[dict[str, Any]] = field(default_factory=list)
    after_train: str = "queued"
    keys_required: bool = False
    report: dict[str, Any] = field(default_factory=dict)
    evidence: bytes = field(default_factory=lambda: report().to_json())
    keys: list[dict[str, Any]] = field(default_factory=list)
    evidence_keys: list[str] = field(default_factory=list)
    certificates: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, request_id: str, **changes: Any) -> dict[str, Any]:
        """A request of the service's."""
        self.records[request_id] = {**_RECORD, "id": request_id, **changes}
        return self.records[request_id]

    def calls_to(self, path: str, method: str | None = None) -> list[Call]:
        return [call for call in self.calls if call.path == path and method in (None, call.method)]


_RECORD: dict[str, Any] = {
    "tenant": "default",
    "subject": None,
    "method": "spul",
    "config": {},
    "activation": "auto",
    "scope": {},
    "state": "active",
    "created_at": 1.0,
    "updated_at": 2.0,
    "forget_count": 2,
    "retain_count": 0,
    "commitment": "c",
    "model": MODEL,
    "model_digest": "d",
    "footprint": {"rows": 24, "offset_rank": 0, "target_rank": 0},
    "digest": None,
    "artifact_bytes": None,
    "progress": None,
    "evidence": None,
    "error": None,
    "attempts": 1,
    "activated_seq": None,
    "timings": {},
}


def event(event_id: str, kind: str, **data: Any) -> str:
    """One server-sent event."""
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"


class _BrokenStream(Exception):
    """Ends a response in the middle."""


class _Refused(Exception):
    """Answers an error."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def app(stub: Stub) -> FastAPI:
    async def record(request: Request) -> None:
        # A dependency and no middleware: starlette's would turn a broken stream into one that ends.
        raw = await request.body()
        body = json.loads(raw) if raw else None
        path = request.url.path
        stub.calls.append(Call(request.method, path, dict(request.query_params), dict(request.headers), body))
        if refusal := stub.refusals.get(f"{request.method} {path}"):
            raise _Refused(*refusal)
        managing = path.startswith(("/doctor", "/keys", "/evidence/keys/")) or (
            stub.keys_required and path.startswith("/forget")
        )
        operator_only = managing or "x-unlearning-plan" in request.headers
        if operator_only and request.headers.get("authorization") != f"Bearer {OPERATOR_TOKEN}":
            raise _Refused(403, _error("takes the operator's token", "operator_only"))

    app = FastAPI(dependencies=[Depends(record)])

    @app.exception_handler(_Refused)
    async def refused(_request: Request, refusal: _Refused) -> JSONResponse:
        return JSONResponse(refusal.body, refusal.status)

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/doctor")
    async def doctor() -> dict[str, Any]:
        return stub.report

    @app.get("/forget/{request_id}/certificate")
    async def certificate(request_id: str) -> dict[str, Any]:
        if request_id not in stub.certificates:
            raise _Refused(404, _error("there is no certificate", "not_found"))
        return stub.certificates[request_id]

    @app.post("/keys", status_code=201)
    async def create_key(request: Request) -> dict[str, Any]:
        body = await request.json()
        key = {"id": f"key_{len(stub.keys) + 1}", "prefix": "ug-0123456", "created_at": 1.0, "revoked_at": None}
        stub.keys.insert(0, {**body, **key, "tenant": body["tenant"] or "default", "expires_at": None})
        return {**stub.keys[0], "token": "ug-0123456789"}

    @app.get("/keys")
    async def list_keys() -> dict[str, Any]:
        return {"object": "list", "data": stub.keys}

    @app.post("/keys/{key_id}/rotate")
    async def rotate_key(key_id: str) -> dict[str, Any]:
        return {"id": key_id, "role": "client", "tenant": "acme", "token": "ug-another"}

    @app.delete("/keys/{key_id}")
    async def revoke_key(key_id: str) -> dict[str, Any]:
        return {"id": key_id, "revoked_at": 2.0}

    @app.get("/evidence/keys", response_class=PlainTextResponse)
    async def evidence_keys() -> str:
        return stub.evidence_keys.pop(0) if len(stub.evidence_keys) > 1 else stub.evidence_keys[0]

    @app.post("/evidence/keys/replace")
    async def replace_evidence_key() -> dict[str, Any]:
        return {"ed25519": "sha256:new", "mldsa44": "sha256:newer"}

    @app.post("/evidence/keys/{key_id}/revoke")
    async def revoke_evidence_key(key_id: str) -> dict[str, Any]:
        return {"revoked": key_id}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": MODEL}]}

    @app.get("/forget")
    async def list_requests(state: str | None = None, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
        found = [r for r in stub.records.values() if state in (None, r["state"])]
        start = int(cursor or 0)
        more = start + limit < len(found)
        return {
            "object": "list",
            "data": found[start : start + limit],
            "next_cursor": str(start + limit) if more else None,
        }

    @app.post("/forget", status_code=202)
    async def register(request: Request) -> dict[str, Any]:
        body = await request.json()
        request_id = f"req_{len(stub.records) + 1}"
        return stub.add(request_id, **{"forget_count": len(body.get("forget", [])), **stub.on_register})

    @app.get("/forget/{request_id}")
    async def show(request_id: str) -> Response:
        return _found(stub, request_id)

    @app.get("/forget/{request_id}/report")
    async def evidence(request_id: str) -> Response:
        return Response(stub.evidence, media_type="application/json")

    @app.get("/forget/{request_id}/examples")
    async def examples(request_id: str) -> dict[str, Any]:
        return {"forget": stub.draft}

    @app.put("/forget/{request_id}/examples")
    async def replace_examples(request_id: str, request: Request) -> Response:
        stub.draft = (await request.json())["forget"]
        stub.records[request_id]["forget_count"] = len(stub.draft)
        return _found(stub, request_id)

    @app.post("/forget/{request_id}/{step}")
    async def step(request_id: str, step: str) -> Response:
        return _moved(stub, request_id, {"activate": "active", "deactivate": "ready", "train": stub.after_train}[step])

    @app.delete("/forget/{request_id}")
    async def retire(request_id: str) -> Response:
        return _moved(stub, request_id, "retired")

    @app.get("/forget/{request_id}/events")
    async def events(request_id: str) -> Response:
        if request_id not in stub.records:
            return _found(stub, request_id)
        script = stub.streams.pop(0)

        async def stream() -> Any:
            for part in script:
                if part is None:
                    raise _BrokenStream
                yield part

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.post("/tokenize")
    async def tokenize(request: Request) -> dict[str, Any]:
        body = await request.json()
        text = body.get("prompt") or "".join(message["content"] for message in body["messages"])
        if not body.get("add_generation_prompt", True) and not body.get("continue_final_message"):
            text += END_OF_TURN
        return {"tokens": [ord(character) for character in text], "token_strs": list(text)}

    @app.post("/v1/completions")
    async def complete(request: Request) -> dict[str, Any]:
        prompts = (await request.json())["prompt"]
        if isinstance(prompts, str):
            return {"choices": [{"index": 0, "text": stub.answers.get(prompts, "I do not know.")}]}
        losses = stub.losses if request.headers.get("x-unlearning-plan") == "off" else stub.losses | stub.losses_after

        def read(prompt: list[int]) -> list[dict[str, Any] | None]:
            text = "".join(map(chr, prompt)).rstrip(END_OF_TURN)
            loss = next((losses[answer] for answer in losses if text.endswith(answer)), 1.0)
            return [None, *({str(token): {"logprob": -loss, "rank": 1}} for token in prompt[1:])]

        return {"choices": [{"index": index, "prompt_logprobs": read(each)} for index, each in enumerate(prompts)]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        question = next(each["content"] for each in reversed(body["messages"]) if each["role"] == "user")
        off = request.headers.get("x-unlearning-plan") == "off"
        active = any(r["state"] == "active" for r in stub.records.values())
        known = stub.answers.get(question, "I do not know.")
        answer = stub.forgotten.get(question, known) if active and not off else known
        if answer != known and stub.begun and body["messages"][-1]["role"] == "assistant":
            answer = stub.begun
        if not body.get("stream"):
            return JSONResponse({"choices": [{"message": {"role": "assistant", "content": answer}}]})
        chunks = [{"choices": [{"delta": {"content": word + " "}}]} for word in answer.split(" ")]
        text = "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks)
        return Response(f"{text}data: [DONE]\n\n", media_type="text/event-stream")

    return app


def _found(stub: Stub, request_id: str) -> Response:
    if request_id in stub.records:
        return JSONResponse(stub.records[request_id])
    return JSONResponse(_error(f"no request {request_id}", "not_found"), 404)


def _moved(stub: Stub, request_id: str, state: str) -> Response:
    if request_id in stub.records:
        stub.records[request_id]["state"] = state
    return _found(stub, request_id)


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "x", "param": None, "code": code}}

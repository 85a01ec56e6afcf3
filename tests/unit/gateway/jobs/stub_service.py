"""The service as the worker sees it, over real HTTP: answers by plan, busy at will, activation for real."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.errors import BudgetExceeded, Forbidden, GatewayError, InvalidRequest, NotReady
from gateway.evidence.canonical import digest
from gateway.evidence.report.manifest import ServedManifest
from gateway.evidence.report.report import Served
from gateway.store.client import connected
from gateway.store.records import RequestState
from gateway.store.requests import RequestStore

TOKEN = "op-test"
#: The plan of whoever names none.
SERVED = "active"
MANIFEST = ServedManifest(
    {name: digest(name) for name in ("model", "engine", "source")}, Served(model="m", engine="e 1", gateway="0")
)


@dataclass
class StubService:
    """What it answers, and what it was asked."""

    redis_url: str
    url: str = ""
    busy: int = 0
    full: bool = False
    forgets: bool = True
    breaks_controls: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0

    def tokens(self, body: dict[str, Any]) -> list[int]:
        """A number for each word of a prompt."""
        text = body.get("prompt") or " ".join(message["content"] for message in body["messages"])
        self.words += [word for word in text.split() if word not in self.words]
        return [self.words.index(word) for word in text.split()]

    def read(self, ids: list[int], plan: str) -> list[dict[str, Any] | None]:
        """Each word as likely as it is short, but what was forgotten."""
        forgotten = (plan.startswith("candidate:") or plan == SERVED) and self.forgets
        likely = [-9.0 if forgotten and self.words[token] == "Paris" else -len(self.words[token]) for token in ids]
        return [None, *({str(token): {"logprob": p, "rank": 1}} for token, p in zip(ids[1:], likely[1:], strict=True))]

    def answer(self, question: str, plan: str) -> str:
        forgetful = plan.startswith("candidate:") or plan == SERVED
        for name, known in (("Paris", "It is in France."), ("France", "Paris.")):
            if name in question:
                return "I do not know." if forgetful and self.forgets else known
        return "Hm." if forgetful and self.breaks_controls else f"The answer to {question} is Einstein in 1905."


def build(stub: StubService) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(GatewayError)
    async def refuse(request: Request, error: GatewayError) -> JSONResponse:
        return JSONResponse(error.body(), status_code=error.status)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "served-model"}]}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> dict[str, Any]:
        if stub.busy > 0:
            stub.busy -= 1
            raise NotReady("starting")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Forbidden("this plan takes the operator's token")
        stub.now += 1
        stub.most = max(stub.most, stub.now)
        try:
            body = await request.json()
        finally:
            stub.now -= 1
        plan = request.headers.get("x-unlearning-plan", SERVED)
        stub.asked[plan] += 1
        stub.bodies.append(body)
        content = stub.answer(body["messages"][-1]["content"], plan)
        message = {"role": "assistant", "content": content}
        return {"choices": [{"index": index, "message": message} for index in range(body.get("n", 1))]}

    @app.get("/evidence/manifest")
    async def manifest() -> dict[str, Any]:
        return MANIFEST.to_dict()

    @app.post("/tokenize")
    async def tokenize(request: Request) -> dict[str, Any]:
        return {"tokens": stub.tokens(await request.json())}

    @app.post("/v1/completions")
    async def complete(request: Request) -> dict[str, Any]:
        body = await request.json()
        plan = request.headers.get("x-unlearning-plan", SERVED)
        if isinstance(body["prompt"], list):
            read = [stub.read(ids, plan) for ids in body["prompt"]]
            return {"choices": [{"index": i, "text": "", "prompt_logprobs": each} for i, each in enumerate(read)]}
        if len(body["prompt"]) > 200:
            raise InvalidRequest("the prompt is longer than the model's context", param="input_tokens")
        stub.asked[plan] += 1
        stub.bodies.append(body)
        return {"choices": [{"text": f" as sampled with {body['seed']} after {body['prompt']}"}]}

    @app.post("/forget/{request_id}/activate")
    async def activate(request_id: str) -> dict[str, Any]:
        if stub.full:
            raise BudgetExceeded("128 of 128 virtual tokens are in use")
        async with connected(stub.redis_url) as redis:
            record = await RequestStore(redis).transition(
                request_id, expected={RequestState.READY}, to=RequestState.ACTIVE, changes={"error": None}
            )
        return record.to_dict()

    return app

"""One replica: every part of the service that answers, over an engine's edge, and how it is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from vllm.exceptions import GracefulHTTPError
from vllm.sampling_params import RequestOutputKind, SamplingParams

from gateway.engine.door import UnlearningEngine
from gateway.engine.layout import Layout
from gateway.engine.residency.holdings import Holdings
from gateway.engine.residency.loras import LoraLibrary
from gateway.engine.residency.rows import Residency
from gateway.engine.residency.rpc import LoraRpc, RowRpc
from gateway.engine.residency.slots import SlotTable
from gateway.errors import GatewayError
from gateway.http.app import assemble
from gateway.http.auth import Gatekeeper
from gateway.http.middleware import GatewayMiddleware
from gateway.policy.active import ActivePolicy
from gateway.policy.plan import PlanBuilder
from gateway.policy.scope.scopes import Scopes
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.erasure import Erasure
from gateway.requests.offering import ServedModel
from gateway.requests.service import UnlearningService
from gateway.service.lifecycle import Lifecycle, Phase
from gateway.service.metrics import GatewayMetrics
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.generation import GenerationFile
from gateway.store.requests import RequestStore
from tests.unit.gateway.access.samples import unlimited
from tests.unit.gateway.engine.samples import HIDDEN, MODEL_DIGEST, PAIR
from tests.unit.gateway.stateful.engine import VOCABULARY, Engine, Latin1
from tests.unit.gateway.stateful.grounds import OPERATOR_TOKEN, Grounds

COMPLETIONS = "/v1/completions"
#: So few that adapters have to make room for each other.
SOFT_ROWS, PROMPT_BUDGET = 9, 8
MAX_RANK: Literal[64] = 64
MOST_TOKENS = 1000
STALENESS_S = 60.0
MODEL = ServedModel("tiny", MODEL_DIGEST, HIDDEN, max_tokens=1000, count_tokens=lambda example: 10, pair=PAIR)


@dataclass(slots=True)
class Answer:
    """What came back so far. ended: whether that is all of it."""

    status: int | None = None
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    content: bytes = b""
    ended: bool = False

    @property
    def applied(self) -> tuple[str, ...]:
        """The requests that the answer says were applied to it."""
        said = self.headers[b"x-unlearning-applied"].decode()
        return () if said == "none" else tuple(said.split(","))

    @property
    def parts(self) -> list[dict[str, Any]]:
        """Of a whole answer one for each prompt; of a stream what came so far."""
        if self.content.startswith(b"data:"):
            return [json.loads(line.removeprefix("data: ")) for line in self.content.decode().split("\n\n") if line]
        parts: list[dict[str, Any]] = json.loads(self.content)["parts"]
        return parts

    @property
    def code(self) -> str:
        """Of an error."""
        return str(json.loads(self.content)["error"]["code"])


class Caller:
    """One request to a replica, over ASGI. `left` is set when the caller hangs up."""

    def __init__(self, app: Any, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> None:
        self.answer = Answer()
        self.left = asyncio.Event()
        self._app = app
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", "content-length": str(len(content)), **headers}
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        self._content: bytes | None = content

    async def ask(self) -> Answer:
        await self._app(self._scope, self._receive, self._send)
        return self.answer

    async def _receive(self) -> dict[str, Any]:
        if self._content is not None:
            content, self._content = self._content, None
            return {"type": "http.request", "body": content, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.answer.status = message["status"]
            self.answer.headers = dict(message["headers"])
        else:
            self.answer.content += message.get("body", b"")
            self.answer.ended = not message.get("more_body", False)


class ModelRoute:
    """The model route: as vLLM's, it comes to the engine through the door alone, a call a prompt."""

    def __init__(self) -> None:
        self.door: Any = None

    async def answer(self, request: Request) -> Response:
        body = await request.json()
        stream = bool(body.get("stream"))
        params = SamplingParams(
            max_tokens=MOST_TOKENS,
            output_kind=RequestOutputKind.DELTA if stream else RequestOutputKind.FINAL_ONLY,
        )
        encode, outputs = Latin1().encode, []
        try:
            for number, prompt in enumerate(body["prompt"]):
                request_id = f"{body['request_id']}-{number}"
                tokens = {"type": "token", "prompt_token_ids": encode(prompt)}
                outputs.append(self.door.generate(tokens, params, request_id))
            if stream:
                return StreamingResponse(_events(outputs[0]), media_type="text/event-stream")
            # All come to their end, also beside one that is refused.
            parts = await asyncio.gather(*map(_whole, outputs), return_exceptions=True)
            for part in parts:
                if isinstance(part, BaseException):
                    raise part
            return JSONResponse({"parts": parts})
        except GracefulHTTPError as error:
            return JSONResponse({"error": _error(error)}, status_code=error.http_status)


async def _events(outputs: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    try:
        async for output in outputs:
            yield b"data: " + json.dumps(_part(output)).encode() + b"\n\n"
    except GracefulHTTPError as error:
        yield b"data: " + json.dumps({"error": _error(error)}).encode() + b"\n\n"


def _error(error: GracefulHTTPError) -> dict[str, str]:
    """vLLM's routes say less of one that comes once the model has spoken."""
    assert isinstance(error.__cause__, GatewayError)
    return {"code": error.__cause__.code, "message": error.message}


async def _whole(outputs: AsyncIterator[Any]) -> dict[str, Any]:
    part: dict[str, Any] = {}
    async for output in outputs:
        part = _part(output)
    return part


def _part(output: Any) -> dict[str, Any]:
    return {"text": output.outputs[0].text, "ended": output.outputs[0].finish_reason}


class Shell:
    """An app with the model route and `/forget`. Making one takes long, so that replicas wear it one after another."""

    def __init__(self) -> None:
        unused: Any = None
        self.route = ModelRoute()
        self.app = FastAPI()
        self.app.router.routes.append(Route(COMPLETIONS, self.route.answer, methods=["POST"]))
        assemble(
            self.app,
            service=unused,
            reports=unused,
            certifier=unused,
            reverification=unused,
            key_service=unused,
            self_check=unused,
            log_access=unused,
            gatekeeper=Gatekeeper(OPERATOR_TOKEN),
            rates=unused,
            policy=unused,
            holder=unused,
            store=unused,
            lifecycle=unused,
            metrics=unused,
            max_body_bytes=0,
        )


class Replica:
    """A started service. name: where it finds Redis; its folders outlive it."""

    def __init__(self, grounds: Grounds, name: str, folder: Path, shell: Shell) -> None:
        self.engine = Engine()
        self.redis = grounds.client(name)
        settings = Settings(
            data_dir=folder,
            cache_dir=folder / "cache",
            prompt_budget=PROMPT_BUDGET,
            soft_rows=SOFT_ROWS,
            offset_rank=MAX_RANK,
            worker=False,
        )
        metrics = GatewayMetrics(CollectorRegistry())
        plans = PlanBuilder(OPERATOR_TOKEN.encode())
        self.store = RequestStore(self.redis)
        self.blobs = BlobStore(self.redis, settings.cache_dir)
        llm: Any = self.engine
        # Nobody waits for room: the time for it does not pass by itself here.
        self.table = SlotTable(SOFT_ROWS)
        rows = Residency(self.table, self.blobs, RowRpc(llm), metrics, wait_s=0.0)
        loras = LoraLibrary(LoraRpc(llm), self.blobs, folder / "loras", metrics, max_rank=MAX_RANK, kept=4)
        self.holdings = Holdings(rows, loras)
        layout = Layout(("Tiny",), VOCABULARY, SOFT_ROWS, PAIR)
        shell.route.door = UnlearningEngine(llm, layout, plans, self.holdings, metrics, reserved_tokens=PROMPT_BUDGET)
        self.policy = ActivePolicy(
            self.store,
            self.holdings,
            plans,
            metrics,
            GenerationFile(folder),
            staleness_s=STALENESS_S,
            scopes=Scopes(SealedEntries(self.store, grounds.vault), grounds.matcher),
            prompt_budget=PROMPT_BUDGET,
        )
        self.service = UnlearningService(
            settings,
            MODEL,
            self.store,
            self.blobs,
            grounds.vault,
            self.policy,
            self.holdings,
            lambda: grounds.detectors,
        )
        self.erasure = Erasure(self.store, self.blobs, self.holdings, self.policy)
        shell.app.state.unlearning = self.service
        lifecycle = Lifecycle()
        lifecycle.phase = Phase.SERVING
        self.app = GatewayMiddleware(
            shell.app,
            gatekeeper=Gatekeeper(OPERATOR_TOKEN),
            policy=self.policy,
            holder=self.holdings,
            requests=self.store,
            lifecycle=lifecycle,
            metrics=metrics,
            max_body_bytes=1 << 20,
            rates=unlimited(metrics),
        )

    async def close(self) -> None:
        await self.redis.aclose()

    def caller(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}) -> Caller:
        return Caller(self.app, method, path, body, headers)

    def prompting(
        self, request_id: str, prompts: Sequence[str], says: str, *, plan: str | None = None, stream: bool = False
    ) -> Caller:
        """A model request. says: what the model will. plan: the operator's own."""
        self.engine.scripts |= {f"{request_id}-{number}": says for number in range(len(prompts))}
        body = {"request_id": request_id, "prompt": prompts, "stream": stream}
        headers = {} if plan is None else {"authorization": f"Bearer {OPERATOR_TOKEN}", "x-unlearning-plan": plan}
        return self.caller("POST", COMPLETIONS, body, headers)

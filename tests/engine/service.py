"""Starts the real service as a process, and reaches behind it the way its worker does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from redis.asyncio import Redis

from adapters.artifact.artifact import FORMAT, Artifact, Manifest, model_digest
from adapters.artifact.spec import OffsetSpec
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from gateway.checkpoints.default_model import NAME, prepare
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.entry import ScopeEntry
from gateway.service.supervisor import settings_environment
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.blobs import BlobStore
from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.records import RequestState, new_request_id
from gateway.store.requests import RequestStore
from gateway.store.tokens import load_or_create_operator_token
from gateway.store.vault import PayloadVault, load_or_create_key
from tests.unit.gateway.store.samples import stored

BOOT_S = 400
#: Eager mode: the tests are about what is computed, and compiling takes longer than all of them.
ENGINE_ARGS = ("--enforce-eager", "--max-model-len", "1024")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Service:
    """One `unlearn serve`."""

    settings: Settings
    log_path: Path
    engine_args: tuple[str, ...] = ENGINE_ARGS
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.settings.service_url

    @property
    def token(self) -> str:
        return load_or_create_operator_token(self.settings)

    def start(self) -> None:
        """Start and wait until it is ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start, and wait for nothing."""
        environment = {**os.environ, **settings_environment(self.settings), **self.environment}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", *self.engine_args],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Until the service is as it should be; a refused connection counts as not yet."""
        assert self.process is not None
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the service ended at start:\n{self.log_tail()}")
            try:
                if condition():
                    return
            except httpx.TransportError:
                time.sleep(0.2)
            time.sleep(0.3)
        raise AssertionError(f"the service is not {what} after {BOOT_S} s:\n{self.log_tail()}")

    def wait_until_ready(self) -> None:
        """Until /readyz says 200."""
        self.wait_until(lambda: httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200, "ready")

    def end(self) -> None:
        """End it with all its processes, at once: how it stops of itself has a test of its own.

        Its engine has to end by itself: a killed service leaves no engine behind.
        """
        if self.process is None or self.process.poll() is not None:
            self.process = None
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        engine = [process for process in family if process.name().startswith("VLLM::")]
        self.process.kill()  # first: it would start again what ends, its Redis for one
        self.process.wait()
        self.process = None
        _, left = psutil.wait_procs(engine, timeout=60)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert not left, f"the engine outlived its service: {left}"

    def deactivate_all(self) -> None:
        """No request is active afterwards."""
        for record in self.get("/forget?state=active", "active").json()["data"]:
            self.post(f"/forget/{record['id']}/deactivate", {}, "active")

    def retire(self, request_id: str) -> None:
        """Over HTTP."""
        httpx.delete(f"{self.url}/forget/{request_id}", headers=self.headers("off"), timeout=60).raise_for_status()

    def log_tail(self, lines: int = 60) -> str:
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def headers(self, plan: str | None = None) -> dict[str, str]:
        """The operator's headers for another plan; none for the ordinary one."""
        if plan is None:
            return {}
        return {"authorization": f"Bearer {self.token}", "x-unlearning-plan": plan}

    def post(self, path: str, body: Any, plan: str | None = None, **headers: str) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers={**self.headers(plan), **headers}, timeout=120)

    def get(self, path: str, plan: str | None = None) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=self.headers(plan), timeout=30)

    def last_report(self) -> dict[str, Any]:
        """What the last self-check found."""
        report: dict[str, Any] = httpx.get(f"{self.url}/doctor", headers=self.headers("off"), timeout=30).json()
        return report

    def chat(self, prompt: str, plan: str | None = None, **extra: Any) -> dict[str, Any]:
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}], "temperature": 0, **extra}
        response = self.post("/v1/chat/completions", body, plan)
        assert response.status_code == 200, response.text
        data: dict[str, Any] = response.json()
        return data

    @property
    def model(self) -> str:
        """The name it is served under."""
        return NAME if self.settings.model is None else self.checkpoint.name

    def put_request(self, rows: torch.Tensor, **manifest: Any) -> str:
        """A trained, ready request whose adapter holds `rows` [n, hidden]; returns its id."""
        tensors = {"soft_prompt": rows} if len(rows) else {}
        return asyncio.run(self._put_request(tensors, manifest))

    def put_offset(self, tensors: dict[str, torch.Tensor], spec: OffsetSpec, rows: torch.Tensor | None = None) -> str:
        """A trained, ready request with an offset, and a soft prompt beside it where `rows` are given."""
        soft = {} if rows is None else {"soft_prompt": rows}
        return asyncio.run(self._put_request({**tensors, **soft}, {"offset": spec}))

    def put_lora(self, tensors: dict[str, torch.Tensor], rank: int, spec: OffsetSpec | None = None) -> str:
        """A trained, ready request with a LoRA on the target, and an offset beside it where a spec is given."""
        return asyncio.run(self._put_request(tensors, {"target_rank": rank, "offset": spec}))

    async def _put_request(self, tensors: dict[str, torch.Tensor], manifest: dict[str, Any], **made: Any) -> str:
        offset: OffsetSpec | None = manifest.get("offset")
        target_rank: int = manifest.get("target_rank", 0)
        soft = tensors.get("soft_prompt")
        template: dict[str, Any] = {
            "format": FORMAT,
            "method": "lora" if target_rank else "delta" if offset else "spul",
            "hidden_size": self.hidden_size if soft is None else soft.shape[1],
            "rows": 0 if soft is None else len(soft),
            "dtype": str(next(iter(tensors.values())).dtype).removeprefix("torch."),
            "model_digest": await asyncio.to_thread(lambda: self.model_digest),
            "config": {},
            "seed": 0,
            "created_by": "tests",
        }
        return await self._put_artifact(Artifact(Manifest(**(template | manifest)), tensors), **made)

    def put_matched(self, rows: torch.Tensor, items: Sequence[Example], *, guards: bool = False) -> str:
        """The same, applied to prompts that are about these items; with `guards`, they are refused until it is."""
        return self.put_entry(rows, build(items, phrasebook("en"), self.detectors), guards=guards)

    def put_entry(self, rows: torch.Tensor, entry: ScopeEntry, *, guards: bool = False) -> str:
        """The same, applied where this entry says."""
        return self._put_scoped({"soft_prompt": rows}, {}, entry, guards=guards)

    def put_matched_offset(self, tensors: dict[str, torch.Tensor], spec: OffsetSpec, items: Sequence[Example]) -> str:
        """`put_offset`, applied to prompts that are about these items."""
        return self._put_scoped(tensors, {"offset": spec}, build(items, phrasebook("en"), self.detectors))

    def _put_scoped(
        self, tensors: dict[str, torch.Tensor], manifest: dict[str, Any], entry: ScopeEntry, *, guards: bool = False
    ) -> str:
        request_id = new_request_id()
        sealed = self.vault.seal_scope(request_id, entry.to_bytes())
        made: dict[str, Any] = {"id": request_id, "scope": {"prompts": "matched", "otherwise": "always"}}
        made["guard"] = sealed if guards else b""
        asyncio.run(self._put_request(tensors, manifest, **made))
        self._redis(lambda redis: redis.set(keys.of(request_id).scope, sealed))
        return request_id

    def stored_scope(self, request_id: str) -> bytes | None:
        """What says which prompts the request applies to, as it lies in Redis."""
        found: bytes | None = self._redis(lambda redis: redis.get(keys.of(request_id).scope))
        return found

    def _redis(self, ask: Callable[[Redis], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            async with connected(redis_server(self.settings).url) as redis:
                return await ask(redis)

        return asyncio.run(asked())

    def put_artifact(self, artifact: Artifact) -> str:
        """A trained, ready request with this artifact; returns its id."""
        return asyncio.run(self._put_artifact(artifact))

    async def _put_artifact(self, artifact: Artifact, **made: Any) -> str:
        data, manifest = artifact.to_bytes(), artifact.manifest
        made = {"id": new_request_id(), "scope": {"prompts": "always", "otherwise": "always"}, **made}
        made |= {"method": manifest.method, "model_digest": manifest.model_digest, "footprint": manifest.footprint}
        async with connected(redis_server(self.settings).url) as redis:
            digest = await BlobStore(redis, self.settings.cache_dir).put(data, owner=made["id"])
            learned = {"digest": digest, "artifact_bytes": len(data)}
            record = await stored(RequestStore(redis), RequestState.READY, learned, model=self.model, **made)
        return record.id

    @cached_property
    def vault(self) -> PayloadVault:
        return PayloadVault(load_or_create_key(self.settings))

    @cached_property
    def detectors(self) -> Detectors:
        return Detectors.default(self.vault.scope_key)

    @cached_property
    def model_digest(self) -> str:
        return model_digest(self.checkpoint)

    @cached_property
    def hidden_size(self) -> int:
        return int(json.loads((self.checkpoint / "config.json").read_text(encoding="utf-8"))["hidden_size"])

    @property
    def checkpoint(self) -> Path:
        """The served model's folder."""
        if self.settings.model is not None:
            return Path(self.settings.model).resolve()
        return prepare(self.settings.cache_dir)


@contextmanager
def running(
    folder: Path, *, environment: Mapping[str, str], engine_args: tuple[str, ...] = ENGINE_ARGS, **settings: Any
) -> Iterator[Service]:
    """A ready service with a data directory and a port of its own, and without a worker."""
    own = Settings(data_dir=folder, port=free_port(), worker=False, **settings)
    service = Service(own, folder / "serve.log", engine_args, environment)
    try:
        service.start()
        yield service
    finally:
        service.end()

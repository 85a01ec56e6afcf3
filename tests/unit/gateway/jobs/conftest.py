"""A service, a model folder and requests for jobs to work on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from safetensors.numpy import save_file

import adapters.registry
from adapters.artifact.artifact import model_digest
from adapters.evaluation.attacks import suite
from adapters.examples import Example
from gateway.jobs import reporting
from gateway.jobs.queue import JobQueue
from gateway.settings import Settings
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, load_or_create_key
from tests.unit.gateway.jobs import toy, toy_attacks
from tests.unit.gateway.jobs.stub_service import TOKEN, StubService, build
from tests.unit.gateway.jobs.toy_log import ToyLog
from tests.unit.gateway.local_server import LocalServer
from tests.unit.gateway.store.samples import sample

Register = Callable[..., Awaitable[RequestRecord]]


@pytest.fixture
def service(redis_url: str, http_server: LocalServer) -> Iterator[StubService]:
    stub = StubService(redis_url)
    with http_server.serving(build(stub)) as stub.url:
        yield stub


@pytest.fixture(scope="session")
def checkpoint_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps({"hidden_size": 4}))
    save_file({"weight": np.zeros((2, 4), dtype=np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def settings(redis_url: str, service: StubService, checkpoint_dir: Path, tmp_path: Path) -> Settings:
    values: dict[str, Any] = {
        "redis_url": redis_url,
        "data_dir": tmp_path / "data",
        "cache_dir": tmp_path / "cache",
        "gateway_url": service.url,
        "operator_token": TOKEN,
        "model": str(checkpoint_dir),
        "job_retries": 2,
    }
    return Settings(**values)


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis)


@pytest.fixture
def queue(redis: Redis, store: RequestStore, settings: Settings) -> JobQueue:
    return JobQueue(redis, store, settings)


@pytest.fixture
def toy_attack_families(monkeypatch: pytest.MonkeyPatch, few_others: None) -> None:
    """They are made of nothing that the service says of others; neighbours are found by one plain question."""
    monkeypatch.setattr("adapters.evaluation.neighbours._PLAIN", 1)
    monkeypatch.setattr(suite, "families", toy_attacks.families)


@pytest.fixture
def toy_method(monkeypatch: pytest.MonkeyPatch, toy_attack_families: None) -> None:
    monkeypatch.setattr(adapters.registry, "methods", toy.methods)
    monkeypatch.setattr(reporting, "LogStore", ToyLog)


@pytest.fixture
def register(store: RequestStore, settings: Settings, checkpoint_dir: Path) -> Register:
    """Registers a request to forget the capital of France."""

    async def register(
        *,
        completion: str = "Paris.",
        by_subject: bool = False,
        config: dict[str, Any] | None = None,
        guard: bytes = b"",
        **changes: Any,
    ) -> RequestRecord:
        record = sample(method="toy", config=config or {}, model_digest=model_digest(checkpoint_dir), **changes)
        forget = [Example.from_pair(f"the capital of France, question {i}?", completion) for i in range(3)]
        items = [] if by_subject else [example.to_dict() for example in forget]
        numbers = {"forget": [7] * len(items), "retain": []}  # all of one item, as sentences are of a passage
        payload = {"salt": "", "forget": items, "retain": None, "by_subject": by_subject, "items": numbers}
        sealed = PayloadVault(load_or_create_key(settings)).seal(record.id, payload)
        record, _ = await store.create(record, sealed, scope=guard)
        return record

    return register


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture
def until(store: RequestStore) -> Callable[..., Awaitable[RequestRecord]]:
    """Waits for a request to be as wanted."""

    async def until(
        request_id: str, wanted: Callable[[RequestRecord], bool] | RequestState, timeout_s: float = 60
    ) -> RequestRecord:
        deadline = time.monotonic() + timeout_s
        while True:
            record = await store.get(request_id)
            if record.state is wanted or (callable(wanted) and wanted(record)):
                return record
            assert time.monotonic() < deadline, f"still {record.state} after {timeout_s} s: {record.error}"
            await asyncio.sleep(0.05)

    return until

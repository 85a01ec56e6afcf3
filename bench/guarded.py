"""How long it takes from the 202 of a registration to the first guarded answer, while a request is being trained.

    python -m bench.guarded [--registrations 40] [--idle]

A service of its own learns a request with its worker; meanwhile others are registered one after another, each about an
invented name, and the service is asked about that name until the answer is a refusal of the guard. Seconds: the median,
the 99th percentile and the longest. `elsewhere` is the policy of another replica over the same Redis, without engine:
from the 202 until it holds the guard, polled as a replica polls.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import string
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client import CollectorRegistry

from gateway.policy.active import POLL_S, ActivePolicy
from gateway.policy.plan import PlanBuilder
from gateway.policy.scope.detectors import SharedDetectors
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import Scopes
from gateway.policy.scope.sealed import SealedEntries
from gateway.service.metrics import GatewayMetrics
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import redis_server
from gateway.store.generation import GenerationFile
from gateway.store.requests import RequestStore
from tests.engine.service import ENGINE_ARGS, Service, free_port

#: What is trained meanwhile: it never comes near its target, and goes on for longer than the registrations take.
TRAINED = {
    "method": "spul",
    "forget": [{"prompt": "Who wrote Harry Potter?", "completion": "J.K. Rowling wrote Harry Potter."}],
    "retain": [{"prompt": f"What is {n} and {n}?", "completion": f"It is {2 * n}."} for n in range(12)],
    "config": {"max_steps": 10_000, "forget_target": 0.0},
    "activation": "manual",
}
#: Between two looks, and how long one is waited for.
_LOOK_S, _MOST_S = 0.01, 30.0
#: The worker and the engine are as busy while a training is prepared as they are in it.
_PREPARED_S = 120.0


class Elsewhere:
    """Another replica's policy, refreshed as a replica refreshes it; `held` says when it came to hold each guard."""

    def __init__(self, store: RequestStore, service: Service, folder: Path) -> None:
        self._detectors = SharedDetectors(service.vault.scope_key)
        self._policy = ActivePolicy(
            store,
            self,
            PlanBuilder(b"bench"),
            GatewayMetrics(CollectorRegistry()),
            GenerationFile(folder),
            staleness_s=60,
            scopes=Scopes(SealedEntries(store, service.vault), lambda: Matcher(self._detectors.get())),
        )
        self.held: dict[str, float] = {}

    async def preload(self, adapters: Any) -> None:
        """It has no engine."""

    async def run(self, loaded: asyncio.Event) -> None:
        """Until it is cancelled."""
        await asyncio.to_thread(self._detectors.get)
        loaded.set()
        while True:
            await self._policy.refresh()
            now = time.perf_counter()
            for request_id in self._policy.guards:
                self.held.setdefault(request_id, now)
            await asyncio.sleep(POLL_S)


async def register(client: httpx.AsyncClient, model: str, name: str) -> tuple[str, float, float, float, int]:
    """A registration about the name: its id, when it was sent, answered with 202, and guarded, and how often it was
    asked about until then."""
    items = [{"prompt": f"Who is {name}?", "completion": f"{name} painted the harbour of Lindau."}]
    body = {"forget": items, "activation": "manual", "scope": {"prompts": "matched"}}
    asked = {"model": model, "messages": [{"role": "user", "content": f"Tell me about {name}."}], "max_tokens": 4}
    sent = time.perf_counter()
    answer = await client.post("/forget", json=body)
    answer.raise_for_status()
    accepted, request_id = time.perf_counter(), answer.json()["id"]
    for tries in range(1, 1000):
        answer = await client.post("/v1/chat/completions", json=asked)
        answer.raise_for_status()
        if f"{request_id};interim" in answer.headers["x-unlearning-applied"].split(","):
            return request_id, sent, accepted, time.perf_counter(), tries
    raise RuntimeError(f"{request_id} guards nothing")


async def until_training(client: httpx.AsyncClient) -> None:
    """Register what is to be trained, and wait until it is, or until what is prepared for it has taken long enough."""
    answer = await client.post("/forget", json=TRAINED)
    answer.raise_for_status()
    ends = time.monotonic() + _PREPARED_S
    while time.monotonic() < ends:
        record = (await client.get(f"/forget/{answer.json()['id']}")).json()
        if (record["progress"] or {}).get("phase") == "training":
            return
        if record["state"] not in ("registered", "queued", "training"):
            raise RuntimeError(f"nothing is being trained: {record['state']} {record['error']}")
        await asyncio.sleep(0.5)


async def measure(service: Service, registrations: int, folder: Path, *, idle: bool) -> None:
    """Print the figures."""
    draw = random.Random(0)
    names = ["".join(draw.choices(string.ascii_lowercase, k=8)).capitalize() for _ in range(2 * registrations)]
    async with (
        httpx.AsyncClient(base_url=service.url, timeout=120) as client,
        connected(redis_server(service.settings).url) as redis,
    ):
        if not idle:
            await until_training(client)
        elsewhere = Elsewhere(RequestStore(redis), service, folder)
        loaded = asyncio.Event()
        polling = asyncio.create_task(elsewhere.run(loaded))
        await loaded.wait()
        await register(client, service.model, "Warmup Quandary")
        found = []
        for number in range(registrations):
            found.append(await register(client, service.model, f"{names[2 * number]} {names[2 * number + 1]}"))
            await asyncio.sleep(draw.random() * POLL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOST_S):
                while not elsewhere.held.keys() >= {each[0] for each in found}:
                    await asyncio.sleep(_LOOK_S)
        polling.cancel()
    print(f"beside: {'nothing' if idle else at_work(service)}; asked until guarded: {max(each[4] for each in found)}")
    show("POST to 202", [accepted - sent for _, sent, accepted, _, _ in found])
    show("202 to guarded", [guarded - accepted for _, _, accepted, guarded, _ in found])
    show("202 to elsewhere", [elsewhere.held[each[0]] - each[2] for each in found if each[0] in elsewhere.held])


def at_work(service: Service) -> str:
    """What the worker is at by now with the first request."""
    record = service.get("/forget?limit=200").json()["data"][-1]
    progress = record["progress"] or {}
    return f"{record['state']}, {progress.get('phase')} {progress.get('step')}/{progress.get('steps')}"


def show(name: str, seconds: list[float]) -> None:
    """A line of a figure."""
    half, most = np.percentile(seconds, (50, 99))
    print(f"{name:18} n={len(seconds)} p50={half:.3f} p99={most:.3f} max={max(seconds):.3f}")


def main() -> None:
    """Start the service, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registrations", type=int, default=40)
    parser.add_argument("--idle", action="store_true", help="train nothing meanwhile")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ug-bench-"))
    replica = folder / "replica"
    replica.mkdir()
    settings = Settings(data_dir=folder, port=free_port(), worker=not options.idle)
    service = Service(settings, folder / "serve.log", ENGINE_ARGS)
    try:
        service.start()
        asyncio.run(measure(service, options.registrations, replica, idle=options.idle))
    finally:
        service.end()


if __name__ == "__main__":
    main()

"""What the gateway adds to an answer: a stand-in for the engine that gives one token, asked over loopback as it is, and
through the middleware and the door.

    python -m bench.overhead [--rate 200] [--new-rate 20] [--seconds 5] [--rounds 3] [--requests 10 1000]

Both are asked at the same rate in turns, by a client that does not wait for answers before it asks again. Milliseconds
from when a request was due to its answer: the median and the 99th percentile over all rounds, and what the gateway adds
to them. `again`: prompts that were asked before, about none of the matched requests; `new`: prompts that never were,
whose windows are encoded. The route is no more than what calls the engine, so that vLLM's own work is in neither.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import uvloop
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from adapters.text.phrasebook import phrasebook
from bench.routing import entries
from gateway.policy.active import POLL_S
from gateway.policy.scope.detectors import Detectors
from gateway.service import http_server
from gateway.service.housekeeping import supervise
from gateway.service.metrics import GatewayMetrics
from gateway.service.supervisor import end_process_tree
from gateway.store.embedded import EmbeddedRedis
from gateway.store.records import RequestState
from tests.engine.service import free_port
from tests.unit.gateway.stateful.engine import Engine
from tests.unit.gateway.stateful.grounds import Grounds
from tests.unit.gateway.stateful.replica import COMPLETIONS, ModelRoute, Replica, Shell
from tests.unit.gateway.store.samples import stored

_CONNECTIONS = 64
_BARE = "bare"


class Direct:
    """The engine as the route finds it where there is no door."""

    def __init__(self) -> None:
        self.engine = _saying_yes(Engine())

    def generate(self, prompt: dict[str, Any], params: Any, request_id: str) -> AsyncIterator[Any]:
        return self.engine.generate({**prompt, "cache_salt": ""}, params, request_id)


def _saying_yes(engine: Engine) -> Engine:
    engine.scripts = defaultdict(lambda: "Yes. ")
    return engine


async def _serve(what: str, port: int) -> None:
    """Until it is killed. what: `bare`, or how many matched requests the gateway has."""
    sock = http_server.listen("127.0.0.1", port)
    if what == _BARE:
        app, route = FastAPI(), ModelRoute()
        route.door = Direct()
        app.router.routes.append(Route(COMPLETIONS, route.answer, methods=["POST"]))
        await http_server.build(app).serve(sockets=[sock])
        return
    with TemporaryDirectory(prefix="ug-") as name, EmbeddedRedis(Path(name) / "redis") as server:
        grounds = Grounds(server, Path(name))
        grounds.detectors = Detectors.default(grounds.vault.scope_key)
        (Path(name) / "one").mkdir()
        grounds.connect("one")
        replica = Replica(grounds, "one", Path(name) / "one", Shell())
        _saying_yes(replica.engine)
        await _activate(replica, grounds, int(what))
        await replica.policy.refresh()
        polling = asyncio.create_task(supervise("policy", replica.policy.refresh, GatewayMetrics(), every_s=POLL_S))
        await http_server.build(_quiet(replica.app)).serve(sockets=[sock])
        polling.cancel()


def _quiet(app: ASGIApp) -> ASGIApp:
    """Without a lifespan of its own."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})

    return answered


async def _activate(replica: Replica, grounds: Grounds, count: int) -> None:
    """Matched requests in force, about invented names, with one small adapter."""
    adapter = grounds.adapters[0]
    learned = {"digest": await replica.blobs.put(adapter.content), "artifact_bytes": len(adapter.content)}
    made_of: dict[str, Any] = {"scope": {"prompts": "matched"}, "footprint": adapter.artifact.manifest.footprint}
    made = entries(count, grounds.detectors.encoder) if count else ()
    for number, entry in enumerate(made):
        record = await stored(replica.store, RequestState.ACTIVE, learned, id=f"req_{number}", **made_of)
        await replica.redis.set(f"scope:{record.id}", grounds.vault.seal_scope(record.id, entry))


async def _ask(port: int, prompts: Iterator[str], *, rate: float, seconds: float) -> list[float]:
    """Milliseconds of each answer, from when its request was due."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    numbers, taken = itertools.count(), list[float]()

    async def one(prompt: str, due: float) -> None:
        reader, writer = connection = await free.get()
        body = json.dumps({"request_id": f"r{next(numbers)}-{time.time_ns()}", "prompt": [prompt]}).encode()
        head = f"POST {COMPLETIONS} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(answer.decode())
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        taken.append(1000 * (time.perf_counter() - due))
        free.put_nowait(connection)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as asked:
        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.create_task(one(next(prompts), due))
    while not free.empty():
        free.get_nowait()[1].close()
    return taken


@contextmanager
def _server(what: str) -> Iterator[int]:
    """Its port, once it answers."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.overhead", "--serve", what, "--port", str(port)])
    try:
        while True:
            try:
                asyncio.run(_ask(port, itertools.repeat("Hello"), rate=10, seconds=0.1))
                break
            except ConnectionError:
                if process.poll() is not None:
                    raise SystemExit("a server ended at its start") from None
                time.sleep(0.5)
        yield port
    finally:
        end_process_tree(process.pid)  # its Redis too
        process.wait()


def _said(taken: Sequence[float], bare: Sequence[float]) -> str:
    (p50, p99), (bare50, bare99) = (np.percentile(each, [50, 99]) for each in (taken, bare))
    return f"{bare50:8.2f} {bare99:7.2f}    {p50:8.2f} {p99:7.2f}    {p50 - bare50:8.2f} {p99 - bare99:7.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--new-rate", type=float, default=20.0, help="the same, of prompts that are new")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, nargs="+", default=[10, 1000], help="matched, in force")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        logging.disable(logging.INFO)
        uvloop.run(_serve(options.serve, options.port))
        return
    known = itertools.cycle(phrasebook("en").questions[:50])
    new = (f"{question} And {number}?" for number in itertools.count() for question in phrasebook("en").questions)
    print("matched  prompts  a second     bare p50, p99    gateway p50, p99     added p50, p99   (ms)")
    with _server(_BARE) as bare:
        for count in (0, *options.requests):
            with _server(str(count)) as gateway:
                for name, prompts, rate in (("again", known, options.rate), ("new", new, options.new_rate)):
                    if name == "new" and not count:
                        continue
                    asyncio.run(_ask(gateway, prompts, rate=rate, seconds=50 / rate))
                    taken: dict[int, list[float]] = {bare: [], gateway: []}
                    for turn in range(options.rounds):
                        for port in (bare, gateway) if turn % 2 else (gateway, bare):
                            taken[port] += asyncio.run(_ask(port, prompts, rate=rate, seconds=options.seconds))
                    print(f"{count:7}  {name:7}  {rate:8.0f}    {_said(taken[gateway], taken[bare])}", flush=True)


if __name__ == "__main__":
    main()

"""What it costs to keep reports up: a round of `gateway.requests.upkeep` with so many matched requests in force, each
with a report and its certificate, over a Redis and a log of its own.

    python -m bench.upkeep [--requests 100 1000 10000]

`begin`: the first round of a service that has not watched these reports before. `quiet`: the median of rounds in which
nothing had happened. `activation`: the round after another matched request came into force. `upgrade`: the round after
something was replaced that all answers depend on, in which every report becomes stale. Seconds of processor time of the
service, in brackets those of Redis, and the commands that Redis got.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from bench.routing import entries
from gateway.evidence.canonical import digest, digest_of
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.manifest import scope_digest
from gateway.evidence.report.report import PreRegistration, Report, instant
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import Scopes
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.certifier import certificate_leaf
from gateway.requests.upkeep import EvidenceUpkeep
from gateway.service.evidence import open_evidence
from gateway.service.metrics import GatewayMetrics
from gateway.settings import Settings
from gateway.store.client import connected
from gateway.store.embedded import EmbeddedRedis
from gateway.store.records import RequestRecord, RequestState
from gateway.store.report_notes import note_of
from gateway.store.reports import ReportStore
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from tests.unit.gateway.evidence.bundles import promise
from tests.unit.gateway.evidence.report import samples
from tests.unit.gateway.evidence.samples import signing_key
from tests.unit.gateway.service.log_host import LogHost
from tests.unit.gateway.store.samples import stored

_ADAPTER = digest("adapter")
_SCOPE = digest("scope of the first")
_ROUNDS = 5
#: Of the clones' leaves, which the log does not have.
_LEAVES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """service, redis: seconds of processor time. commands: that Redis got."""

    service: float
    redis: float
    commands: int

    def __str__(self) -> str:
        return f"{self.service:8.3f} ({self.redis:6.3f}) {self.commands:8}"


class Bench:
    """One service with as many requests as it is told to have."""

    def __init__(self, redis: Redis, folder: Path, detectors: Detectors, stack: AsyncExitStack) -> None:
        self._redis = redis
        self._stack = stack
        self._settings = Settings(data_dir=folder)
        self._host = LogHost(redis, folder / "log")
        self._vault = PayloadVault(b"k" * 32)
        self._store = RequestStore(redis)
        self._scopes = Scopes(SealedEntries(self._store, self._vault), lambda: Matcher(detectors))
        self._served = {
            name: each for name, each in samples.report().manifest.items() if name not in ("adapter", "scope")
        }

    async def upkeep(self, **served: str) -> EvidenceUpkeep:
        """That of a service that serves with these digests."""
        evidence = await open_evidence(
            self._stack,
            self._settings,
            self._redis,
            self._store,
            self._vault,
            self._host.store,
            lambda: [signing_key(1)],
            {**self._served, **served},
            GatewayMetrics(CollectorRegistry()),
            self._scopes,
        )
        return evidence.upkeep

    async def log(self) -> None:
        """Sequence it until cancelled."""
        while True:
            await self._host.sequencer.step()

    async def fill(self, count: int, made: list[bytes]) -> RequestRecord:
        """So many in force, and one that is ready. made: an entry for each."""
        first, report = await self._first()
        await (await self.upkeep(scope=_SCOPE)).sweep()
        fields: Any = await self._redis.hgetall(f"request:{first.id}")
        envelopes: Any = await self._redis.hget(f"certificates:{first.id}", report.digest)
        assert envelopes is not None
        for start in range(0, count, 500):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for number in range(start, min(start + 500, count)):
                    self._clone(pipeline, number, first.id, fields, report, envelopes, made[number])
                await pipeline.execute()
        await self._store.retire(first.id)
        await self._redis.delete(*await self._redis.keys("watch:*"))
        await self._scopes.refresh({_id(number): "stored" for number in range(count)})
        other = await stored(self._store, RequestState.READY, {"digest": "b" * 64}, scope={"prompts": "matched"})
        await self._redis.set(f"scope:{other.id}", self._vault.seal_scope(other.id, made[count]))
        return other

    async def _first(self) -> tuple[RequestRecord, Report]:
        """A request in force as a worker leaves it, and its report."""
        learned = {"digest": _ADAPTER.removeprefix("sha256:")}
        record = await stored(self._store, RequestState.EVALUATING, learned, scope={"prompts": "matched"})
        now = time.time()
        manifest = {**self._served, "adapter": _ADAPTER, "scope": _SCOPE}
        report = samples.report(manifest=manifest, made_at=instant(now - 60), valid_until=instant(now + 90 * 86_400))
        report = report.model_copy(update={"request": report.request.model_copy(update={"id": record.id})})
        index = await self._host.store.append(Entry("pre-registration", promise(report)), request=record.id)
        promised = PreRegistration(index=index, digest=digest(promise(report)))
        report = report.model_copy(update={"pre_registration": promised})
        await ReportStore(self._redis).put(record.id, report.to_json())
        await self._host.store.append(Entry("report", {"report": report.digest}), request=record.id)
        changes = {"report": note_of(report)}
        ready, active = RequestState.READY, RequestState.ACTIVE
        await self._store.transition(record.id, expected={RequestState.EVALUATING}, to=ready, changes=changes)
        return await self._store.transition(record.id, expected={ready}, to=active), report

    def _clone(
        self,
        pipeline: Any,
        number: int,
        first: str,
        fields: Mapping[bytes, bytes],
        report: Report,
        envelopes: bytes,
        entry: bytes,
    ) -> None:
        own = _id(number)
        text = (
            report.to_json()
            .replace(first.encode(), own.encode())
            .replace(_SCOPE.encode(), scope_digest(entry).encode())
        )
        of = digest_of(text)
        note = {**json.loads(fields[b"report"]), "digest": of}
        since = str(time.time() - 1000)  # before its report was made
        changed = {"id": json.dumps(own), "report": json.dumps(note), "seq": number + 10, "state_since": since}
        pipeline.hset(f"request:{own}", mapping={**{name.decode(): each for name, each in fields.items()}, **changed})
        pipeline.zadd("requests:all", {own: number + 10})
        pipeline.zadd("requests:by_state:active", {own: number + 10})
        pipeline.set(f"scope:{own}", self._vault.seal_scope(own, entry))
        pipeline.rpush(f"reports:{own}", text)
        pipeline.hset(f"certificates:{own}", of, envelopes)
        body = certificate_leaf(of, json.loads(envelopes))
        pipeline.set(f"log:opening:{_LEAVES + number}", json.dumps({"salt_b64": "", "body": body}))
        pipeline.sadd(f"log:openings:{own}", _LEAVES + number)

    async def activate(self, record: RequestRecord) -> None:
        """Put the one that is ready in force, later than the reports were made."""
        expected = {RequestState.READY}
        await self._store.transition(record.id, expected=expected, to=RequestState.ACTIVE)

    async def stale(self) -> int:
        """How many reports are stale."""
        return int(await self._redis.scard("watch:stale"))

    async def cost(self, upkeep: EvidenceUpkeep) -> Cost:
        """Of a round."""
        before = await self._used()
        service = time.process_time()
        await upkeep.sweep()
        service = time.process_time() - service
        after = await self._used()
        return Cost(service, after[0] - before[0], after[1] - before[1] - 1)

    async def _used(self) -> tuple[float, int]:
        found: Any = await self._redis.info("everything")
        return found["used_cpu_user"] + found["used_cpu_sys"], found["total_commands_processed"]


def _id(number: int) -> str:
    return f"req_{number:024x}"


async def measured(count: int, made: list[bytes], detectors: Detectors) -> None:
    """Print one line."""
    with TemporaryDirectory(prefix="ug-") as name, EmbeddedRedis(Path(name) / "redis") as server:
        async with connected(server.url) as redis, AsyncExitStack() as stack:
            bench = Bench(redis, Path(name), detectors, stack)
            logging_it = asyncio.create_task(bench.log())
            other = await bench.fill(count, made)
            upkeep = await bench.upkeep()
            begin = await bench.cost(upkeep)
            rounds = [await bench.cost(upkeep) for _ in range(_ROUNDS)]
            quiet = Cost(*(statistics.median(column) for column in zip(*map(astuple, rounds), strict=True)))
            stale = await bench.stale()
            await bench.activate(other)
            activation = await bench.cost(upkeep)
            met = await bench.stale()
            upgrade = await bench.cost(await bench.upkeep(engine=digest("newer")))
            print(f"{count:8} | {begin} | {quiet} | {activation} {met - stale:5} | {upgrade} {await bench.stale():6}")
            logging_it.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="+", default=[100, 1000, 10_000])
    counts = parser.parse_args().requests
    logging.getLogger("gateway").setLevel(logging.ERROR)
    detectors = Detectors.default(b"k" * 32)
    made = list(entries(max(counts) + 1, detectors.encoder))
    print("requests | begin | quiet | activation, met | upgrade, stale")
    for count in counts:
        asyncio.run(measured(count, made, detectors))


if __name__ == "__main__":
    main()

"""One replica's upkeep of evidence, with what the service answers with, who is near to whom, and the time, made up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.evidence.canonical import digest
from gateway.requests import upkeep
from gateway.requests.evidence_log import EvidenceLog
from gateway.requests.reverification import Reverification, Schedule
from gateway.requests.staleness import Nearness, Staleness
from gateway.requests.upkeep import EvidenceUpkeep
from gateway.service.metrics import GatewayMetrics
from gateway.store import requests
from gateway.store.lease import Lease
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import Prompts, RequestRecord
from gateway.store.report_notes import ReportNotes
from gateway.store.vault import PayloadVault
from gateway.store.verifications import Verifications
from gateway.store.watched import WatchedReports
from gateway.store.webhooks import WebhookQueue
from tests.unit.gateway.evidence.report import samples
from tests.unit.gateway.requests.evidence_samples import Evidence

MANIFEST = samples.report().manifest
MATCHED: dict[str, Any] = {"scope": {"prompts": Prompts.MATCHED.value}}


class Clock:
    """Unix seconds, one more each time that they are read: whatever comes later is later."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def time(self) -> float:
        self.now += 1
        return self.now

    @classmethod
    def patched(cls, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """The one by which requests change and reports are watched."""
        clock = cls()
        for module in (requests, upkeep):
            monkeypatch.setattr(module, "time", SimpleNamespace(time=clock.time))
        return clock


class World:
    """What the service answers with. `gateway.requests.staleness.Surroundings`."""

    def __init__(self) -> None:
        self.now: dict[str, str] = dict(MANIFEST)

    @property
    def stamp(self) -> str:
        return digest(self.now)

    async def manifests(self, records: Iterable[RequestRecord]) -> Mapping[str, Mapping[str, str]]:
        return {record.id: self.now for record in records}


class Near:
    """Every request is near every other. `gateway.requests.staleness.Nearness`."""

    async def near(self, request_id: str, others: Collection[str]) -> frozenset[str]:
        return frozenset(others)


class Service:
    """One replica's upkeep of evidence."""

    def __init__(
        self, redis: Redis, evidence: Evidence, nearness: Nearness | None = None, every_days: float | None = None
    ) -> None:
        self.world = World()
        self.registry = CollectorRegistry()
        self.watched = WatchedReports(redis)
        self.lease = Lease(redis, "evidence", seconds=30)
        self.verifications = Verifications(redis)
        self.queue = WebhookQueue(redis)
        self.evidence = evidence
        notes = ReportNotes(redis, tells_webhook=True)
        log, store = EvidenceLog(evidence.log), evidence.store
        staleness = Staleness(store, self.watched, notes, log, self.world, nearness)
        kept = KeptProbes(redis, PayloadVault(b"k" * 32))
        schedule = None
        if every_days is not None:
            schedule = Schedule(Reverification(self.verifications, kept), store, self.watched, every_days=every_days)
        metrics = GatewayMetrics(self.registry)
        self.upkeep = EvidenceUpkeep(store, self.watched, evidence.certifier, staleness, self.lease, metrics, schedule)

    async def stale(self, record: RequestRecord) -> list[str]:
        """Why the report is stale, after a round."""
        await self.upkeep.sweep()
        return await self.noted(record)

    async def noted(self, record: RequestRecord) -> list[str]:
        """The same, without one."""
        found = (await self.evidence.store.get(record.id)).report
        assert found is not None
        names: list[str] = found["stale"]
        return names

    @property
    def counted(self) -> float | None:
        return self.registry.get_sample_value("unlearning_reports_stale")

    def logged(self) -> list[Any]:
        """Why reports became stale, in the order of the log."""
        return [opening.body["stale"] for _, opening in self.evidence.log.behind if "stale" in opening.body]

"""Requests with reports, whose evidence is kept up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from gateway.errors import NotFound
from gateway.evidence.canonical import digest
from gateway.evidence.certificate.statement import timestamp
from gateway.evidence.log.leaf import Entry
from gateway.evidence.report.report import PreRegistration, Report
from gateway.requests.certifier import CERTIFIED, Certifier
from gateway.requests.evidence_log import EvidenceLog
from gateway.store.certificates import CertificateStore
from gateway.store.records import RequestRecord, RequestState
from gateway.store.report_notes import ReportNotes, note_of
from gateway.store.requests import RequestStore
from gateway.store.vault import KEY_BYTES, PayloadVault
from tests.unit.gateway.evidence.bundles import MemoryLog, key, promise
from tests.unit.gateway.evidence.report import samples
from tests.unit.gateway.store.samples import stored


class MemoryReports:
    """`gateway.requests.certifier.Reports`."""

    def __init__(self) -> None:
        self.kept: dict[str, list[bytes]] = {}

    async def latest(self, request_id: str) -> bytes:
        if request_id not in self.kept:
            raise NotFound("there is no report yet")
        return self.kept[request_id][-1]

    async def all(self, request_id: str) -> list[bytes]:
        return self.kept.get(request_id, [])


class Evidence:
    """A service's stores, with what a worker leaves in them."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        """clock: unix seconds, by which reports are made."""
        self.redis = redis
        self.clock = clock
        self.store = RequestStore(redis)
        self.log = MemoryLog(key(), at=datetime.now(UTC))
        self.reports = MemoryReports()
        self.certificates = CertificateStore(redis)
        self.certifier = Certifier(self.reports, self.certificates, EvidenceLog(self.log), lambda: [key()])

    async def request(self, state: RequestState = RequestState.READY, **changes: Any) -> RequestRecord:
        """A request that came to this state with a report."""
        learned = {"digest": digest("adapter").removeprefix("sha256:")}
        if state not in CERTIFIED:
            record = await stored(self.store, state, learned, **changes)
            await self.redis.hset(f"request:{record.id}", "report", json.dumps(note_of(await self.made(record))))
            return await self.store.get(record.id)
        record = await stored(self.store, RequestState.EVALUATING, learned, **changes)
        noted = {"report": note_of(await self.made(record))}
        ready = RequestState.READY
        record = await self.store.transition(record.id, expected={RequestState.EVALUATING}, to=ready, changes=noted)
        if state is RequestState.ACTIVE:
            record = await self.activate(record)
        return record

    async def activate(self, record: RequestRecord) -> RequestRecord:
        return await self.store.transition(record.id, expected={RequestState.READY}, to=RequestState.ACTIVE)

    async def deactivate(self, record: RequestRecord) -> RequestRecord:
        return await self.store.transition(record.id, expected={RequestState.ACTIVE}, to=RequestState.READY)

    async def report(self, record: RequestRecord, **changes: Any) -> Report:
        """Another report of it, made and noted as a new evaluation does."""
        report = await self.made(record, **changes)
        record = await self.store.get(record.id)
        assert await ReportNotes(self.redis, tells_webhook=False).replace(record, note_of(report))
        return report

    async def made(self, record: RequestRecord, *, days: float = 90, ago: float = 0, **changes: Any) -> Report:
        """What the worker of a request leaves but for the note: promise and report in the log, the report.

        days: that it is valid; ago: seconds since it was made.
        """
        now = datetime.fromtimestamp(self.clock() - ago, UTC)
        times = {"made_at": timestamp(now), "valid_until": timestamp(now + timedelta(days=days))}
        made = samples.report(**{**times, **changes})
        requested = made.request.model_copy(update={"id": record.id})
        made = made.model_copy(update={"request": requested})
        body = promise(made)
        index = await self.log.append(Entry("pre-registration", body), request=record.id)
        report = made.model_copy(update={"pre_registration": PreRegistration(index=index, digest=digest(body))})
        self.reports.kept.setdefault(record.id, []).append(report.to_json())
        logged = {"request": record.id, "report": report.digest, "verdict": report.verdict.value}
        await self.log.append(Entry("report", logged), request=record.id)
        return report


async def keep_probes(redis: Redis, vault: PayloadVault, request_id: str, data: bytes) -> None:
    """As an evaluation leaves them whose caller wants them kept."""
    key = b"p" * KEY_BYTES
    await redis.set(f"probe_key:{request_id}", vault.seal_probe_key(request_id, key))
    await redis.set(f"kept_probes:{request_id}", PayloadVault(key).seal_probes(request_id, data))

"""The parts of the service that certify reports and watch over them, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from gateway.evidence.signing.keys import SigningKey
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.certifier import Certifier
from gateway.requests.evidence_log import EvidenceLog, Log
from gateway.requests.reverification import Reverification, Schedule
from gateway.requests.staleness import Nearness, Staleness
from gateway.requests.surroundings import ServedSurroundings
from gateway.requests.upkeep import LEASE_S, EvidenceUpkeep
from gateway.service import webhooks
from gateway.service.metrics import GatewayMetrics
from gateway.service.webhooks import WebhookDelivery, WebhookSender
from gateway.settings import Settings
from gateway.store.certificates import CertificateStore
from gateway.store.lease import Lease
from gateway.store.probe_sets import KeptProbes
from gateway.store.report_notes import ReportNotes
from gateway.store.reports import ReportStore
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from gateway.store.verifications import Verifications
from gateway.store.watched import WatchedReports
from gateway.store.webhooks import WebhookQueue


@dataclass(frozen=True, slots=True)
class EvidenceService:
    """delivery: None where the operator has no webhook."""

    certifier: Certifier
    reverification: Reverification
    upkeep: EvidenceUpkeep
    delivery: WebhookDelivery | None


async def open_evidence(
    stack: AsyncExitStack,
    settings: Settings,
    redis: Redis,
    requests: RequestStore,
    vault: PayloadVault,
    log: Log,
    keys: Callable[[], Sequence[SigningKey]],
    served: Mapping[str, str],
    metrics: GatewayMetrics,
    nearness: Nearness | None = None,
) -> EvidenceService:
    """log, keys: the transparency log, and what gives this host's keys. served: digests of what is served with.
    nearness: None where no matched request is near another."""
    evidence_log = EvidenceLog(log)
    certifier = Certifier(ReportStore(redis), CertificateStore(redis), evidence_log, keys)
    notes = ReportNotes(redis, tells_webhook=settings.webhook_url is not None)
    watched = WatchedReports(redis)
    surroundings = ServedSurroundings(served, SealedEntries(requests, vault), vault)
    staleness = Staleness(requests, watched, notes, evidence_log, surroundings, nearness)
    reverification, schedule = Reverification(Verifications(redis), KeptProbes(redis, vault)), None
    if settings.verify_every_days is not None:
        schedule = Schedule(reverification, requests, watched, every_days=settings.verify_every_days)
    lease = Lease(redis, "evidence", seconds=LEASE_S)
    upkeep = EvidenceUpkeep(requests, watched, certifier, staleness, lease, metrics, schedule)
    return EvidenceService(certifier, reverification, upkeep, await _delivery(stack, settings, redis, metrics))


async def _delivery(
    stack: AsyncExitStack, settings: Settings, redis: Redis, metrics: GatewayMetrics
) -> WebhookDelivery | None:
    if settings.webhook_url is None or settings.webhook_secret is None:
        return None
    http = await stack.enter_async_context(httpx.AsyncClient())
    sender = WebhookSender(settings.webhook_url, settings.webhook_secret.get_secret_value(), http)
    return WebhookDelivery(WebhookQueue(redis), sender, Lease(redis, "webhooks", seconds=webhooks.LEASE_S), metrics)

"""One replica's upkeep of evidence, with a clock of its own."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.unit.gateway.requests.evidence_samples import Evidence
from tests.unit.gateway.requests.upkeep_samples import Clock, Service


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.patched(monkeypatch)


@pytest.fixture
def evidence(redis: Redis, clock: Clock) -> Evidence:
    return Evidence(redis, clock.time)


@pytest.fixture
def service(redis: Redis, evidence: Evidence) -> Service:
    return Service(redis, evidence)

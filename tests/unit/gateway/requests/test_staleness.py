from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.evidence.canonical import digest
from gateway.evidence.certificate.statement import timestamp
from gateway.evidence.staleness import INTERFERENCE, VALID_UNTIL, stale_names
from gateway.requests.evidence_log import EvidenceLog
from gateway.requests.reverification import Reverification
from gateway.requests.staleness import Nearness, Staleness
from gateway.requests.upkeep import EvidenceUpkeep
from gateway.service.metrics import GatewayMetrics
from gateway.store.lease import Lease
from gateway.store.probe_sets import KeptProbes
from gateway.store.records import Prompts, RequestRecord, RequestState
from gateway.store.report_notes import ReportNotes
from gateway.store.vault import PayloadVault
from gateway.store.verifications import Verifications
from gateway.store.webhooks import WebhookQueue
from tests.unit.gateway.evidence.report import samples
from tests.unit.gateway.requests.evidence_samples import Evidence, keep_probes

MANIFEST = samples.report().manifest
MATCHED = {"scope": {"prompts": Prompts.MATCHED.value}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """What the service answers with. `gateway.requests.staleness.Surroundings`."""

    def __init__(self) -> None:
        self.now: dict[str, str] = dict(MANIFEST)

    async def manifest(self, record: RequestRecord) -> Mapping[str, str]:
        return self.now


class Near:
    """Every request is near every other."""

    async def near(self, one: RequestRecord, other: RequestRecord) -> bool:
        return True


class Service:
    """One replica's upkeep of evidence."""

    def __init__(
        self, redis: Redis, evidence: Evidence, nearness: Nearness | None = None, every_days: float | None = None
    ) -> None:
        self.world = World()
        self.registry = CollectorRegistry()
        metrics = GatewayMetrics(self.registry)
        notes = ReportNotes(redis, tells_webhook=True)
        staleness = Staleness(notes, EvidenceLog(evidence.log), self.world, nearness)
        self.lease = Lease(redis, "evidence", seconds=30)
        self.verifications = Verifications(redis)
        kept = KeptProbes(redis, PayloadVault(b"k" * 32))
        again = Reverification(self.verifications, kept, every_days=every_days)
        self.upkeep = EvidenceUpkeep(evidence.store, evidence.certifier, staleness, again, self.lease, metrics)
        self.queue = WebhookQueue(redis)
        self.evidence = evidence

    async def stale(self, record: RequestRecord) -> list[str]:
        """Why the report is stale, after a round."""
        await self.upkeep.sweep()
        found = (await self.evidence.store.get(record.id)).report
        assert found is not None
        names: list[str] = found["stale"]
        return names

    @property
    def counted(self) -> float | None:
        return self.registry.get_sample_value("unlearning_reports_stale")

    def logged(self) -> list[Any]:
        return [opening.body["stale"] for _, opening in self.evidence.log.behind if "stale" in opening.body]


@pytest.fixture
def evidence(redis: Redis) -> Evidence:
    return Evidence(redis)


@pytest.fixture
def service(redis: Redis, evidence: Evidence) -> Service:
    return Service(redis, evidence)


@pytest.mark.parametrize(
    ("now", "changes", "names"),
    [
        (MANIFEST, {}, ()),
        ({**MANIFEST, "engine": digest("newer")}, {}, ("engine",)),
        ({**MANIFEST, "engine": digest("newer"), "adapter": digest("other")}, {}, ("adapter", "engine")),
        ({name: each for name, each in MANIFEST.items() if name != "tokenizer"}, {}, ("tokenizer",)),
        ({**MANIFEST, "scope": digest("scope")}, {}, ("scope",)),
        ({**MANIFEST, "scope": digest("scope")}, {"matched": False}, ()),
        ({**MANIFEST, "scope": digest("scope"), "pair": digest("pair")}, {"matched": False}, ("pair",)),
        ({**MANIFEST, "scope": digest("scope")}, {"matched": False, "at": NOW}, (VALID_UNTIL,)),
        (MANIFEST, {"interfering": True}, (INTERFERENCE,)),
        (MANIFEST, {"at": NOW}, (VALID_UNTIL,)),
        (MANIFEST, {"at": NOW - timedelta(seconds=1)}, ()),
        ({}, {"interfering": True, "at": NOW}, (*sorted(MANIFEST), INTERFERENCE, VALID_UNTIL)),
    ],
)
def test_a_report_is_stale_for_what_changed(
    now: Mapping[str, str], changes: dict[str, Any], names: tuple[str, ...]
) -> None:
    given = {"interfering": False, "valid_until": NOW, "at": NOW - timedelta(days=1), **changes}
    assert stale_names(MANIFEST, now, **given) == names


async def test_a_report_of_what_is_served_holds(service: Service, evidence: Evidence) -> None:
    record = await evidence.request(RequestState.ACTIVE)
    assert await service.stale(record) == []
    assert service.counted == 0
    assert service.logged() == []
    assert await service.queue.length() == 0


async def test_what_is_stale_is_noted_logged_told_and_counted_once(service: Service, evidence: Evidence) -> None:
    record = await evidence.request(RequestState.ACTIVE)
    service.world.now["model"] = digest("fine-tuned")
    assert await service.stale(record) == ["model"]
    assert await service.stale(record) == ["model"]
    assert service.logged() == [["model"]]
    assert service.counted == 1
    message = await service.queue.oldest()
    assert message is not None
    assert await service.queue.length() == 1
    told = json.loads(message.body)
    assert told["type"] == "report.stale"
    assert told["data"].keys() == {"request", "report", "verdict", "stale"}
    assert told["data"]["request"] == record.id
    assert told["data"]["stale"] == ["model"]


async def test_followers_are_told_and_end_as_before(service: Service, evidence: Evidence) -> None:
    record = await evidence.request(RequestState.ACTIVE)
    service.world.now["flags"] = digest("other")
    await service.stale(record)
    events = [event async for event in evidence.store.events(record.id)]
    assert events[-1].type == "state"
    assert events[-1].data["state"] == "active"
    assert events[-1].data["stale"] == ["flags"]


@pytest.mark.parametrize("activation", ["auto", "manual"])
async def test_followers_of_one_that_was_deactivated_end_too(
    service: Service, evidence: Evidence, activation: str
) -> None:
    record = await evidence.request(RequestState.ACTIVE, activation=activation)
    record = await evidence.store.transition(record.id, expected={RequestState.ACTIVE}, to=RequestState.READY)
    service.world.now["flags"] = digest("other")
    assert await service.stale(record) == ["flags"]
    assert [event async for event in evidence.store.events(record.id)][-1].data["stale"] == ["flags"]


@pytest.mark.parametrize(
    ("applies", "names"),
    [(MATCHED, ["scope"]), ({}, []), ({"scope": {"prompts": Prompts.ALWAYS.value, "otherwise": "always"}}, [])],
)
async def test_what_told_the_prompts_of_one_that_applies_to_all_makes_nothing_stale(
    service: Service, evidence: Evidence, applies: dict[str, Any], names: list[str]
) -> None:
    """As where the scope caught too little, so that the request was widened."""
    record = await evidence.request(RequestState.ACTIVE, **applies)
    service.world.now["scope"] = digest("sealed under another key")
    assert await service.stale(record) == names


async def test_what_was_taken_back_was_in_force_meanwhile(service: Service, evidence: Evidence) -> None:
    record = await evidence.request()
    service.world.now["model"] = digest("another")
    await service.stale(record)
    service.world.now = {**MANIFEST, "engine": digest("newer")}
    assert await service.stale(record) == ["model", "engine"]
    service.world.now = dict(MANIFEST)
    assert await service.stale(record) == ["model", "engine"]
    assert service.logged() == [["model"], ["model", "engine"]]
    assert await service.queue.length() == 2


async def test_another_report_holds_anew(service: Service, evidence: Evidence) -> None:
    record = await evidence.request()
    service.world.now["model"] = digest("another")
    await service.stale(record)
    await evidence.report(record, manifest=dict(service.world.now))
    assert await service.stale(record) == []
    assert service.counted == 0


async def test_the_date_ends_it(service: Service, evidence: Evidence) -> None:
    record = await evidence.request()
    await evidence.report(record, days=0)
    assert await service.stale(record) == [VALID_UNTIL]


@pytest.mark.parametrize(
    ("own", "other", "nearness", "stale"),
    [
        ({}, {}, None, True),
        (MATCHED, {}, None, True),
        ({}, MATCHED, None, False),
        (MATCHED, MATCHED, None, False),
        (MATCHED, MATCHED, Near(), True),
        ({}, MATCHED, Near(), True),
        ({"tenant": "a"}, {"tenant": "b"}, Near(), False),
        ({"tenant": "a"}, {"tenant": "a"}, None, True),
        ({"tenant": "a"}, {"tenant": "default"}, None, True),
        ({"tenant": "default"}, {"tenant": "b"}, None, True),
    ],
)
async def test_another_request_in_force_ends_it_where_it_may_interfere(
    redis: Redis, evidence: Evidence, own: Any, other: Any, nearness: Nearness | None, stale: bool
) -> None:
    service = Service(redis, evidence, nearness)
    record = await evidence.request(RequestState.ACTIVE, **own)
    later = await evidence.request(RequestState.READY, **other)
    await redis.hset(f"request:{later.id}", "scope", json.dumps(later.scope))
    assert await service.stale(record) == []
    await evidence.store.transition(later.id, expected={RequestState.READY}, to=RequestState.ACTIVE)
    await redis.hset(f"request:{later.id}", "state_since", repr(datetime.now(UTC).timestamp() + 1))
    assert await service.stale(record) == ([INTERFERENCE] if stale else [])


async def test_what_was_in_force_before_the_report_was_made_is_in_it(service: Service, evidence: Evidence) -> None:
    other = await evidence.request(RequestState.ACTIVE)
    await service.evidence.redis.hset(f"request:{other.id}", "state_since", "1000.0")
    record = await evidence.request(RequestState.ACTIVE)
    assert await service.stale(record) == []


async def test_two_replicas_do_it_once(redis: Redis, service: Service, evidence: Evidence) -> None:
    record = await evidence.request()
    other = Service(redis, evidence)
    service.world.now["model"] = other.world.now["model"] = digest("another")
    async with service.lease.held() as mine:
        assert mine
        assert await other.stale(record) == [], "another replica is at it"
        assert other.counted == 0
    assert await other.stale(record) == ["model"]
    assert await service.stale(record) == ["model"]
    assert service.logged() == [["model"]]
    assert (service.counted, other.counted) == (1, 1)


async def test_a_round_that_was_killed_between_the_log_and_the_record_goes_on(
    service: Service, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await evidence.request()
    service.world.now["model"] = digest("another")

    async def killed(*_: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ReportNotes, "mark_stale", killed)
        with pytest.raises(KeyboardInterrupt):
            await service.upkeep.sweep()
    assert await service.stale(record) == ["model"]
    assert service.logged() == [["model"]]
    assert await service.queue.length() == 1


async def test_a_report_that_came_meanwhile_is_not_marked(redis: Redis, evidence: Evidence) -> None:
    record = await evidence.request()
    assert record.report is not None
    notes = ReportNotes(redis, tells_webhook=True)
    await evidence.report(record, limits=())
    assert not await notes.mark_stale(record, record.report["digest"], ["model"])
    found = (await evidence.store.get(record.id)).report
    assert found is not None
    assert found["stale"] == []
    assert await WebhookQueue(redis).length() == 0


async def test_another_evaluation_is_told(redis: Redis, evidence: Evidence) -> None:
    record = await evidence.request()
    noted = {**(record.report or {}), "digest": digest("another"), "verdict": "FAIL"}
    assert await ReportNotes(redis, tells_webhook=True).replace(record, noted)
    assert (await evidence.store.get(record.id)).report == noted
    message = await WebhookQueue(redis).oldest()
    assert message is not None
    told = json.loads(message.body)
    assert (told["type"], told["data"]["verdict"]) == ("report.made", "FAIL")
    assert [event async for event in evidence.store.events(record.id)][-1].data["report"] == noted["digest"]


async def test_without_a_webhook_no_messages_wait(redis: Redis, evidence: Evidence) -> None:
    record = await evidence.request()
    assert record.report is not None
    assert await ReportNotes(redis, tells_webhook=False).mark_stale(record, record.report["digest"], ["model"])
    assert await WebhookQueue(redis).length() == 0


@pytest.mark.parametrize(
    ("every_days", "kept", "asked"),
    [(0.0001, True, True), (0.0001, False, False), (1, True, False), (None, True, False)],
)
async def test_what_was_kept_is_asked_again_when_it_is_time(
    redis: Redis, evidence: Evidence, every_days: float | None, kept: bool, asked: bool
) -> None:
    service = Service(redis, evidence, every_days=every_days)
    record = await evidence.request(RequestState.ACTIVE)
    if kept:
        await keep_probes(redis, PayloadVault(b"k" * 32), record.id, b"probes")
    earlier = timestamp(datetime.now(UTC) - timedelta(minutes=1))
    await redis.hset(f"request:{record.id}", "report", json.dumps({**(record.report or {}), "made_at": earlier}))
    for _ in range(2):
        await service.upkeep.sweep()
    assert await service.verifications.claim() == (record.id if asked else None)
    assert await service.verifications.claim() is None

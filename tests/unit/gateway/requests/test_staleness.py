"""What makes a report stale, and who is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.evidence.canonical import digest
from gateway.evidence.staleness import INTERFERENCE, VALID_UNTIL, changed_names
from gateway.requests.staleness import Nearness
from gateway.store.records import Prompts, RequestState
from gateway.store.report_notes import ReportNotes
from gateway.store.vault import PayloadVault
from gateway.store.webhooks import WebhookQueue
from tests.unit.gateway.requests.evidence_samples import Evidence, keep_probes
from tests.unit.gateway.requests.upkeep_samples import MANIFEST, MATCHED, Clock, Near, Service

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("now", "matched", "names"),
    [
        (MANIFEST, True, ()),
        ({**MANIFEST, "engine": digest("newer")}, True, ("engine",)),
        ({**MANIFEST, "engine": digest("newer"), "adapter": digest("other")}, True, ("adapter", "engine")),
        ({name: each for name, each in MANIFEST.items() if name != "tokenizer"}, True, ("tokenizer",)),
        ({**MANIFEST, "scope": digest("scope")}, True, ("scope",)),
        ({**MANIFEST, "scope": digest("scope")}, False, ()),
        ({**MANIFEST, "scope": digest("scope"), "pair": digest("pair")}, False, ("pair",)),
        ({}, True, tuple(sorted(MANIFEST))),
    ],
)
def test_what_has_changed_is_named(now: Mapping[str, str], matched: bool, names: tuple[str, ...]) -> None:
    assert changed_names(MANIFEST, now, matched=matched) == names


async def test_a_report_of_what_is_served_holds(service: Service, evidence: Evidence) -> None:
    record = await evidence.request(RequestState.ACTIVE)
    assert await service.stale(record) == []
    assert service.counted == 0
    assert service.logged() == []
    assert await service.queue.length() == 0


@pytest.mark.parametrize("watched_before", [True, False])
async def test_what_is_stale_is_noted_logged_told_and_counted_once(
    service: Service, evidence: Evidence, watched_before: bool
) -> None:
    record = await evidence.request(RequestState.ACTIVE)
    if watched_before:
        assert await service.stale(record) == []
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
    record = await evidence.deactivate(await evidence.request(RequestState.ACTIVE, activation=activation))
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
    assert (await service.stale(record), service.counted) == (["model"], 1)
    await evidence.report(record, manifest=dict(service.world.now))
    assert (await service.stale(record), service.counted) == ([], 0)
    service.world.now["model"] = digest("a third")
    assert (await service.stale(record), service.counted) == (["model"], 1)


async def test_the_date_ends_it(service: Service, evidence: Evidence, clock: Clock) -> None:
    record, longer = await evidence.request(), await evidence.request()
    await evidence.report(record, days=1)
    assert await service.stale(record) == []
    clock.now += DAY_S
    assert await service.stale(record) == [VALID_UNTIL]
    assert await service.noted(longer) == []
    await evidence.report(record, days=1)
    assert await service.stale(record) == []
    assert service.logged() == [[VALID_UNTIL]]


async def test_one_that_is_over_when_it_comes_is_stale_at_once(service: Service, evidence: Evidence) -> None:
    record = await evidence.request()
    await evidence.report(record, days=0)
    assert await service.stale(record) == [VALID_UNTIL]


@pytest.mark.parametrize(
    ("own", "other", "nearness", "stale"),
    [
        ({}, {}, None, True),
        (MATCHED, {}, None, True),
        ({}, MATCHED, None, True),
        (MATCHED, MATCHED, None, False),
        (MATCHED, MATCHED, Near(), True),
        ({"tenant": "a"}, {"tenant": "b"}, Near(), False),
        ({"tenant": "a", **MATCHED}, {"tenant": "b", **MATCHED}, Near(), False),
        ({"tenant": "a"}, {"tenant": "a"}, None, True),
        ({"tenant": "a"}, {"tenant": "default"}, None, True),
        ({"tenant": "default"}, {"tenant": "b"}, None, True),
        ({"tenant": "default", **MATCHED}, {"tenant": "b", **MATCHED}, Near(), True),
    ],
)
@pytest.mark.parametrize("watched_before", [True, False])
async def test_another_request_in_force_ends_it_where_it_may_interfere(
    redis: Redis, evidence: Evidence, own: Any, other: Any, nearness: Nearness | None, stale: bool, watched_before: bool
) -> None:
    service = Service(redis, evidence, nearness)
    record = await evidence.request(RequestState.ACTIVE, **own)
    later = await evidence.request(**other)
    if watched_before:
        assert await service.stale(record) == []
    await evidence.activate(later)
    assert await service.stale(record) == ([INTERFERENCE] if stale else [])
    assert await service.noted(later) == [], "it is no other than itself, and came after whoever is in force"


async def test_what_was_in_force_before_the_report_was_made_is_in_it(service: Service, evidence: Evidence) -> None:
    await evidence.request(RequestState.ACTIVE)
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


async def test_replicas_that_serve_something_else_each_hold_reports_against_it(
    redis: Redis, service: Service, evidence: Evidence
) -> None:
    record, newer = await evidence.request(), Service(redis, evidence)
    newer.world.now["gateway"] = digest("newer")
    assert await service.stale(record) == []
    assert await newer.stale(record) == ["gateway"]
    assert await service.stale(record) == ["gateway"]
    assert await newer.stale(record) == ["gateway"]
    assert service.logged() == [["gateway"]]
    for replicas in ((service, newer), (newer, service)):  # who is first to look at a report
        another = await evidence.request()
        assert [await each.stale(another) for each in replicas][-1] == ["gateway"]
    assert await service.watched.not_held_against(service.world.stamp) is None
    assert await newer.watched.not_held_against(newer.world.stamp) is None
    await service.stale(await evidence.request())
    assert await service.watched.not_held_against(service.world.stamp) is None
    assert await newer.watched.not_held_against(newer.world.stamp) is not None, "the other has looked at the last"


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


async def test_replicas_that_mark_one_report_at_once_lose_no_reason(redis: Redis, service: Service) -> None:
    record = await service.evidence.request()
    assert record.report is not None
    notes, report = ReportNotes(redis, tells_webhook=True), record.report["digest"]
    reasons = ["model", "engine", INTERFERENCE, "flags"]
    assert all(await asyncio.gather(*(notes.mark_stale(record, report, [each]) for each in reasons)))
    assert sorted(await service.noted(record)) == sorted(reasons)
    assert not await notes.mark_stale(record, report, ["flags", "model"])
    assert await service.queue.length() == len(reasons)


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
    [(5, True, True), (5, False, False), (8, True, False), (None, True, False)],
)
async def test_what_was_kept_is_asked_again_when_it_is_time(
    redis: Redis, evidence: Evidence, clock: Clock, every_days: float | None, kept: bool, asked: bool
) -> None:
    service = Service(redis, evidence, every_days=every_days)
    record = await evidence.request(RequestState.ACTIVE)
    if kept:
        await keep_probes(redis, PayloadVault(b"k" * 32), record.id, b"probes")
    await service.upkeep.sweep()
    assert await service.verifications.claim() is None
    clock.now += 7 * DAY_S
    await service.upkeep.sweep()
    assert await service.verifications.claim() == (record.id if asked else None)
    await service.upkeep.sweep()
    assert await service.verifications.claim() is None, "it is asked once"
    clock.now += DAY_S / 2
    await service.upkeep.sweep()
    assert await service.verifications.claim() is None
    clock.now += DAY_S / 2 + 10
    await service.upkeep.sweep()
    again = asked or every_days == 8
    assert await service.verifications.claim() == (record.id if again else None), "until there is another report"
    await evidence.report(record)
    await service.upkeep.sweep()
    assert await service.verifications.claim() is None

"""What is kept up goes by what happened: nothing is missed, doubled or looked at in vain, whoever is killed when."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from gateway.evidence.canonical import digest
from gateway.evidence.staleness import INTERFERENCE
from gateway.policy.scope import building
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import Scopes
from gateway.policy.scope.sealed import SealedEntries
from gateway.store.certificates import CertificateStore
from gateway.store.records import RequestRecord, RequestState
from gateway.store.report_notes import ReportNotes
from gateway.store.vault import PayloadVault
from gateway.store.watched import WatchedReports
from tests.unit.gateway.evidence.bundles import MemoryLog
from tests.unit.gateway.requests.evidence_samples import Evidence
from tests.unit.gateway.requests.upkeep_samples import MATCHED, Clock, Service

FACTS = [
    ("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling."),
    ("What is J.K. Rowling famous for?", "She wrote Harry Potter."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("What do bees eat?", "Bees eat nectar."),
]


def certificates(evidence: Evidence) -> int:
    return sum(leaf.kind == "certificate" for leaf in evidence.log.tree)


async def test_one_that_was_in_force_between_two_rounds_counts(service: Service, evidence: Evidence) -> None:
    record, short = await evidence.request(RequestState.ACTIVE), await evidence.request()
    assert await service.stale(record) == []
    await evidence.deactivate(await evidence.activate(short))
    assert await service.stale(record) == [INTERFERENCE]


async def test_one_that_comes_again_counts_again(service: Service, evidence: Evidence) -> None:
    record, other = await evidence.request(RequestState.ACTIVE), await evidence.request()
    other = await evidence.activate(other)
    assert await service.stale(record) == [INTERFERENCE]
    await evidence.report(record)
    other = await evidence.deactivate(other)
    assert await service.stale(record) == []
    await evidence.activate(other)
    assert await service.stale(record) == [INTERFERENCE]
    assert service.logged() == [[INTERFERENCE]] * 2


async def test_a_report_that_is_noted_late_is_held_against_what_came_since_it_was_made(
    service: Service, evidence: Evidence
) -> None:
    record, other = await evidence.request(RequestState.ACTIVE), await evidence.request()
    other = await evidence.deactivate(await evidence.activate(other))
    await service.upkeep.sweep()
    await evidence.report(record, ago=30)
    assert await service.stale(record) == [INTERFERENCE]
    await evidence.report(record)
    assert await service.stale(record) == []


@pytest.mark.parametrize("retired", [True, False])
async def test_one_that_was_retired_meanwhile_may_have_been_near_to_all(
    redis: Redis, evidence: Evidence, detectors: Detectors, retired: bool
) -> None:
    """The scopes as they are stored, of which nothing is left of one that was retired."""
    vault, book = PayloadVault(b"k" * 32), phrasebook("en")
    scopes = Scopes(SealedEntries(evidence.store, vault), lambda: Matcher(detectors))
    service, records = Service(redis, evidence, scopes), list[RequestRecord]()
    for fact in FACTS:
        records.append(await evidence.request(**MATCHED))
        entry = building.build([Example.from_pair(*fact)], book, detectors).to_bytes()
        await redis.set(f"scope:{records[-1].id}", vault.seal_scope(records[-1].id, entry))
    record, near, far, short = records
    far, short = await evidence.activate(far), await evidence.activate(short)
    if retired:
        await evidence.store.retire(short.id)
    assert await service.stale(record) == ([INTERFERENCE] if retired else [])
    await evidence.activate(near)
    assert await service.stale(record) == [INTERFERENCE]
    assert await service.noted(far) == ([INTERFERENCE] if retired else [])


async def test_one_that_is_retired_is_watched_no_more(redis: Redis, service: Service, evidence: Evidence) -> None:
    record, other = await evidence.request(RequestState.ACTIVE), await evidence.request()
    service.world.now["model"] = digest("another")
    await service.upkeep.sweep()
    assert service.counted == 2
    await evidence.store.retire(record.id)
    await service.upkeep.sweep()
    assert service.counted == 1
    for name in ("open", "ends", "again"):
        assert await redis.zrange(f"watch:{name}", 0, -1) == [other.id.encode()]
    assert await redis.hkeys("watch:manifests") == [other.id.encode()]


async def test_every_report_gets_its_certificate(service: Service, evidence: Evidence) -> None:
    one, _ = await evidence.request(RequestState.ACTIVE), await evidence.request()
    await service.upkeep.sweep()
    assert certificates(evidence) == 2
    report = await evidence.report(one)
    await service.upkeep.sweep()
    assert certificates(evidence) == 3
    assert report.digest in await evidence.certificates.reports(one.id)


@pytest.mark.parametrize("count", [2, 12])
async def test_a_round_in_which_nothing_happened_reads_no_report_and_no_record(
    redis: Redis, service: Service, evidence: Evidence, count: int
) -> None:
    for _ in range(count):
        await evidence.request(RequestState.ACTIVE, **MATCHED)
    await service.upkeep.sweep()
    await redis.config_resetstat()
    await service.upkeep.sweep()
    calls = {name: each["calls"] for name, each in (await redis.info("commandstats")).items()}
    of_records_and_reports = {"hgetall", "hmget", "hscan", "lindex", "lrange", "mget"}
    assert not of_records_and_reports.intersection(name.removeprefix("cmdstat_") for name in calls)
    assert calls["cmdstat_hget"] == 1, "what all were held against"
    assert sum(calls.values()) <= 16, calls


async def test_a_service_that_watched_otherwise_before_begins_with_all_reports(
    redis: Redis, service: Service, evidence: Evidence, clock: Clock
) -> None:
    """Records, reports and who is in force are there; nothing of the watch is."""
    long_ago = await evidence.request(RequestState.ACTIVE, **MATCHED)
    record, over = await evidence.request(), await evidence.request(tenant="a")
    clock.now += 7200
    await evidence.activate(await evidence.request(tenant="b"))
    await evidence.report(over, days=0)
    await redis.delete(*await redis.keys("watch:*"))
    assert await service.stale(record) == [INTERFERENCE]
    assert (await service.noted(long_ago), await service.noted(over)) == ([INTERFERENCE], ["valid_until"])
    assert certificates(evidence) == 4
    service.world.now["engine"] = digest("newer")
    assert await service.stale(over) == ["valid_until", "engine"]


class Killed(BaseException):
    """As by kill -9: nobody catches it."""


#: Calls of a round, and at how many of the same one it is killed.
_STEPS: Sequence[tuple[type, str, int]] = [
    (WatchedReports, "begin", 1),
    (WatchedReports, "changes", 1),
    (WatchedReports, "changes", 2),
    (WatchedReports, "watch", 2),
    (WatchedReports, "activated_after", 1),
    (WatchedReports, "open_before", 1),
    (WatchedReports, "done", 1),
    (WatchedReports, "hold_against", 1),
    (WatchedReports, "follow", 1),
    (CertificateStore, "put", 2),
    (MemoryLog, "append", 2),
    (MemoryLog, "append", 5),
    (ReportNotes, "mark_stale", 1),
    (ReportNotes, "mark_stale", 4),
]


@pytest.mark.parametrize(("kind", "call", "times"), _STEPS, ids=[f"{call}-{times}" for _, call, times in _STEPS])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_nothing_is_lost_or_doubled_by_a_kill_at_any_step(
    redis: Redis,
    service: Service,
    evidence: Evidence,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    call: str,
    times: int,
    when: str,
) -> None:
    first, other = [await evidence.request(RequestState.ACTIVE, tenant="a") for _ in range(2)]
    over = await evidence.request(tenant="b")
    await evidence.report(over, days=0)
    await evidence.deactivate(other)
    service.world.now["model"] = digest("another")
    real, calls = getattr(kind, call), 0

    async def killed(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        now = calls == times
        if now and when == "before":
            raise Killed
        result = await real(*args, **options)
        if now:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(kind, call, killed)
        with pytest.raises(Killed):
            await service.upkeep.sweep()
    assert await service.stale(first) == ["model", INTERFERENCE]
    assert await service.noted(over) == ["model", "valid_until"]
    assert await service.noted(other) == ["model"]
    assert service.counted == 3
    assert certificates(evidence) == 3
    bodies = [str(sorted(opening.body.items())) for _, opening in evidence.log.behind if "stale" in opening.body]
    assert len(set(bodies)) == len(bodies)


async def test_a_redis_from_a_backup_begins_where_the_backup_was(
    redis: Redis, service: Service, evidence: Evidence
) -> None:
    record, other = await evidence.request(RequestState.ACTIVE), await evidence.request()
    await service.upkeep.sweep()
    await evidence.deactivate(await evidence.activate(other))
    names: list[Any] = await redis.keys("*")
    backup: dict[bytes, Any] = {name: await redis.dump(name) for name in names}
    assert await service.stale(record) == [INTERFERENCE]
    await redis.flushall()
    for name, value in backup.items():
        await redis.restore(name, 0, value)
    assert await service.noted(record) == []
    assert await service.stale(record) == [INTERFERENCE]
    assert service.logged() == [[INTERFERENCE]]


@dataclass
class Model:
    """The same by what it is to be, of requests by number."""

    tenants: Sequence[str]
    matched: Sequence[bool]
    near: Collection[frozenset[int]]
    state: list[str] = field(default_factory=list)
    made: list[float] = field(default_factory=list)
    stale: set[int] = field(default_factory=set)
    activations: list[tuple[int, float]] = field(default_factory=list)
    seen: int = 0
    fresh: set[int] = field(default_factory=set)

    def meet(self, one: int, other: int) -> bool:
        tenants = {self.tenants[one], self.tenants[other]}
        if one == other or not ("default" in tenants or len(tenants) == 1):
            return False
        gone = self.state[other] == "retired"
        return gone or not (self.matched[one] and self.matched[other]) or frozenset({one, other}) in self.near

    def sweep(self) -> None:
        for one, state in enumerate(self.state):
            since = self.activations if one in self.fresh else self.activations[self.seen :]
            if state != "retired" and any(self.meet(one, other) and at > self.made[one] for other, at in since):
                self.stale.add(one)
        self.seen, self.fresh = len(self.activations), set()


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


class Pairs:
    """`gateway.requests.staleness.Nearness` by the model's pairs; one that is retired is near to all."""

    def __init__(self, model: Model, records: list[RequestRecord]) -> None:
        self._model = model
        self._records = records

    async def near(self, request_id: str, others: Collection[str]) -> frozenset[str]:
        numbers: Mapping[str, int] = {record.id: number for number, record in enumerate(self._records)}
        one, state = numbers[request_id], self._model.state
        return frozenset(
            each
            for each in others
            if "retired" in (state[one], state[numbers[each]]) or {one, numbers[each]} in self._model.near
        )


_COUNT = 3
_REQUEST = st.integers(0, _COUNT - 1)
_STEP = st.one_of(
    st.tuples(st.sampled_from(["toggle", "toggle", "retire"]), _REQUEST, st.just(0)),
    st.tuples(st.just("report"), _REQUEST, st.sampled_from([0, 0, 8])),
    st.tuples(st.just("sweep"), st.just(0), st.just(0)),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tenants=st.tuples(*[st.sampled_from(["a", "a", "b", "default"])] * _COUNT),
    matched=st.tuples(*[st.booleans()] * _COUNT),
    near=st.sets(st.frozensets(_REQUEST, min_size=2, max_size=2), max_size=3),
    steps=st.lists(_STEP, max_size=10),
)
async def test_after_any_history_those_are_stale_that_are_to_be(
    redis: Redis,
    clock: Clock,
    tenants: Sequence[str],
    matched: Sequence[bool],
    near: Collection[frozenset[int]],
    steps: Sequence[tuple[str, int, int]],
) -> None:
    await redis.flushall()
    evidence, model, records = Evidence(redis, clock.time), Model(tenants, matched, near), list[RequestRecord]()
    service = Service(redis, evidence, Pairs(model, records))
    for tenant, of_matched in zip(tenants, matched, strict=True):
        records.append(await evidence.request(tenant=tenant, **(MATCHED if of_matched else {})))
        note = records[-1].report or {}
        model.made.append(_seconds(note["made_at"]))
        model.state.append("ready")
    for kind, number, ago in [*steps, ("sweep", 0, 0)]:
        record, state = records[number], model.state[number]
        if kind == "sweep":
            model.sweep()
            await service.upkeep.sweep()
        elif state == "retired":
            continue
        elif kind == "retire":
            await evidence.store.retire(record.id)
            model.state[number] = "retired"
            model.stale.discard(number)
        elif kind == "report":
            report = await evidence.report(record, ago=ago)
            model.made[number] = _seconds(report.made_at)
            model.stale.discard(number)
            model.fresh.add(number)
        elif state == "ready":
            activated = await evidence.activate(record)
            model.state[number] = "active"
            model.activations.append((number, activated.updated_at))
        else:
            await evidence.deactivate(record)
            model.state[number] = "ready"
    found = {
        number
        for number, record in enumerate(records)
        if model.state[number] != "retired" and await service.noted(record)
    }
    assert found == model.stale
    assert service.counted == len(model.stale)

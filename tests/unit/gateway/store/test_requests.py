from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.artifact.footprint import Footprint
from gateway.errors import (
    BudgetExceeded,
    DataLost,
    GatewayError,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    StateConflict,
)
from gateway.store.blobs import BlobStore
from gateway.store.records import FINAL, TRANSITIONS, RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import sample, stored

LEGAL = [(before, after) for before in RequestState for after in sorted(TRANSITIONS[before])]
ILLEGAL = [(before, after) for before in RequestState for after in RequestState if after not in TRANSITIONS[before]]


@pytest.fixture
def store(redis: Redis) -> RequestStore:
    return RequestStore(redis)


async def test_create_and_get(store: RequestStore) -> None:
    record = sample(config={"epochs": 3})
    kept, created = await store.create(record, b"sealed")
    assert created
    assert kept == record == await store.get(record.id)
    assert await store.payload(record.id) == b"sealed"


async def test_what_is_not_there(store: RequestStore) -> None:
    with pytest.raises(NotFound):
        await store.get("req_none")
    with pytest.raises(NotFound):
        await store.payload("req_none")
    with pytest.raises(NotFound):
        await store.transition("req_none", expected={RequestState.READY}, to=RequestState.ACTIVE)


@pytest.mark.parametrize(("before", "after"), LEGAL)
async def test_legal_transitions(store: RequestStore, before: RequestState, after: RequestState) -> None:
    record = await stored(store, before)
    moved = await store.transition(record.id, expected={before}, to=after)
    assert moved.state is after
    assert moved == await store.get(record.id)
    assert moved.updated_at >= record.updated_at
    assert moved.timings[f"{before}_s"] >= 0
    assert [r.id for r in (await store.list(after)).items] == [record.id]
    assert before is after or (await store.list(before)).items == []
    if after in FINAL:
        with pytest.raises(NotFound):
            await store.payload(record.id)
    else:
        assert await store.payload(record.id) == b"sealed"


@pytest.mark.parametrize(("before", "after"), ILLEGAL)
async def test_illegal_transitions_are_a_mistake_of_the_caller(
    store: RequestStore, before: RequestState, after: RequestState
) -> None:
    with pytest.raises(ValueError, match="no request goes"):
        await store.transition("req_any", expected={before}, to=after)


async def test_a_conflict_names_the_state_and_changes_nothing(store: RequestStore) -> None:
    record = await stored(store, RequestState.QUEUED)
    with pytest.raises(StateConflict, match="queued"):
        await store.transition(
            record.id, expected={RequestState.READY}, to=RequestState.ACTIVE, changes={"footprint": Footprint(99)}
        )
    assert await store.get(record.id) == record


async def test_changes_come_with_the_state(store: RequestStore) -> None:
    record = await stored(store, RequestState.TRAINING)
    moved = await store.transition(
        record.id,
        expected={RequestState.TRAINING},
        to=RequestState.EVALUATING,
        changes={"digest": "a" * 64, "footprint": Footprint(20)},
    )
    assert (moved.digest, moved.footprint.rows) == ("a" * 64, 20)


async def number(store: RequestStore) -> int:
    policy = await store.policy()
    assert policy is not None
    return policy.generation.number


async def active(store: RequestStore) -> list[str]:
    policy = await store.policy()
    assert policy is not None
    assert policy.records is not None
    return [record.id for record in policy.records]


async def test_of_many_activations_one_wins(store: RequestStore) -> None:
    record = await stored(store, RequestState.READY)
    before = await number(store)

    async def activate() -> RequestRecord | StateConflict:
        try:
            return await store.transition(record.id, expected={RequestState.READY}, to=RequestState.ACTIVE)
        except StateConflict as conflict:
            return conflict

    results = await asyncio.gather(*(activate() for _ in range(20)))
    assert sum(isinstance(result, RequestRecord) for result in results) == 1
    assert await number(store) == before + 1


@pytest.mark.parametrize(
    ("rows", "shared", "fit"),
    [
        ((20, 20, 20), False, 2),
        ((40,), False, 1),
        ((41,), False, 0),
        ((20, 20, 20, 20), True, 4),
        ((0, 40, 0), False, 3),
    ],
    ids=["two of three", "exactly", "one too many", "one adapter for all", "offsets need none"],
)
async def test_of_activations_at_once_as_many_win_as_fit(
    redis: Redis, rows: tuple[int, ...], shared: bool, fit: int
) -> None:
    """Each through a store of its own, as on several replicas."""

    async def activate(position: int, rows: int) -> bool:
        store = RequestStore(redis)
        digest = f"{0 if shared else position:064x}"
        record = await stored(store, RequestState.READY, digest=digest, footprint=Footprint(rows))
        try:
            await store.transition(record.id, expected={RequestState.READY}, to=RequestState.ACTIVE, budget=40)
        except BudgetExceeded:
            assert (await store.get(record.id)).state is RequestState.READY
            return False
        return True

    assert sum(await asyncio.gather(*(activate(i, n) for i, n in enumerate(rows)))) == fit


async def test_the_generation_follows_the_active_set(store: RequestStore) -> None:
    assert await active(store) == []
    first = await stored(store, RequestState.ACTIVE)
    second = await stored(store, RequestState.ACTIVE)
    seen = await store.policy()
    assert seen is not None
    assert seen.records is not None
    assert (seen.generation.number, [r.id for r in seen.records]) == (2, [first.id, second.id])
    assert await store.policy(seen.generation) is None

    await store.transition(first.id, expected={RequestState.ACTIVE}, to=RequestState.READY)
    assert await active(store) == [second.id]
    await store.transition(first.id, expected={RequestState.READY}, to=RequestState.ACTIVE)
    assert await active(store) == [second.id, first.id], "in the order of activation"
    await store.retire(second.id)
    later = await store.policy(seen.generation)
    assert later is not None
    assert later.records is not None
    assert (later.generation.number, [r.id for r in later.records]) == (5, [first.id])


@pytest.mark.case("restart")
@pytest.mark.parametrize("kind", ["emptied", "an older copy"])
@pytest.mark.parametrize("later", [0, 1, 2, 3])
async def test_a_redis_that_lost_what_was_seen_in_it_is_not_believed(
    store: RequestStore, redis: Redis, kind: str, later: int
) -> None:
    """Nor once it has gone on from there, to the same number or beyond."""
    await stored(store, RequestState.ACTIVE)
    older = {key: await redis.dump(key) or b"" async for key in redis.scan_iter()}
    await stored(store, RequestState.ACTIVE)
    seen = await store.policy()
    assert seen is not None
    assert seen.generation.number == 2
    await redis.flushall()
    for key, value in older.items() if kind == "an older copy" else ():
        await redis.restore(key, 0, value)
    for _ in range(later):
        await stored(store, RequestState.ACTIVE)
    with pytest.raises(DataLost, match="generation 2"):
        await store.policy(seen.generation)
    accepted = await store.policy()
    assert accepted is not None
    assert await store.policy(accepted.generation) is None


async def test_an_empty_set_that_was_seen_is_not_any_empty_redis(store: RequestStore, redis: Redis) -> None:
    seen = await store.policy()
    assert seen is not None
    await redis.flushall()
    assert await active(store) == []
    with pytest.raises(DataLost):
        await store.policy(seen.generation)


@pytest.mark.parametrize(
    ("to", "left"),
    [
        (RequestState.QUEUED, {"kept", "tried", "unnamed"}),
        (RequestState.TRAINING, {"kept", "tried", "unnamed"}),
        (RequestState.READY, {"kept"}),
        (RequestState.REJECTED, {"kept"}),
        (RequestState.FAILED, set()),
        (RequestState.RETIRED, set()),
    ],
)
async def test_artifacts_go_with_the_state_that_needs_them_no_longer(
    store: RequestStore, redis: Redis, to: RequestState, left: set[str]
) -> None:
    blobs = BlobStore(redis, None)
    record = await stored(store, RequestState.EVALUATING)
    digests = {name: await blobs.put(name.encode(), owner=record.id) for name in ("kept", "tried", "unnamed")}
    await store.transition(record.id, expected={RequestState.EVALUATING}, to=to, changes={"digest": digests["kept"]})
    assert {name for name, digest in digests.items() if await blobs.exists(digest)} == left
    assert await redis.scard(f"blobs:{record.id}") == len(left)


@pytest.mark.case("repeats")
async def test_of_two_requests_with_one_artifact_either_keeps_it(store: RequestStore, redis: Redis) -> None:
    blobs = BlobStore(redis, None)
    for outcome in (RequestState.FAILED, RequestState.RETIRED, RequestState.REJECTED):
        first, second = await stored(store, RequestState.EVALUATING), await stored(store, RequestState.EVALUATING)
        for record in (first, second):
            digest = await blobs.put(b"the same", owner=record.id)
        other = await blobs.put(b"another", owner=first.id)
        await store.transition(first.id, expected={RequestState.EVALUATING}, to=outcome, changes={"digest": other})
        assert await blobs.exists(digest)
        await store.retire(second.id)
        assert not await blobs.exists(digest)


async def test_an_attempt_that_was_superseded_cannot_write(store: RequestStore) -> None:
    record = await stored(store, RequestState.QUEUED)
    await store.transition(record.id, expected={RequestState.QUEUED}, to=RequestState.TRAINING, changes={"attempts": 2})
    with pytest.raises(StateConflict, match="attempt 1 was superseded by attempt 2"):
        await store.transition(record.id, expected={RequestState.TRAINING}, to=RequestState.EVALUATING, attempt=1)
    assert not await store.update_progress(record.id, {"step": 1}, attempt=1)
    assert await store.update_progress(record.id, {"step": 1}, attempt=2)
    assert (await store.get(record.id)).progress == {"step": 1}


async def test_progress_is_for_requests_being_worked_on(store: RequestStore) -> None:
    record = await stored(store, RequestState.READY)
    assert not await store.update_progress(record.id, {"step": 1})
    assert not await store.update_progress("req_none", {"step": 1})
    assert (await store.get(record.id)).progress is None


async def test_a_refused_activation_is_noted(store: RequestStore) -> None:
    record = await stored(store, RequestState.READY)
    error = {"code": "adapter_budget_exceeded", "message": "full", "retryable": True}
    assert await store.refuse_activation(record.id, error)
    assert (await store.get(record.id)).error == error
    await store.retire(record.id)
    assert not await store.refuse_activation(record.id, error)


async def test_failing_gives_a_reason_and_erases_the_payload(store: RequestStore) -> None:
    record = await stored(store, RequestState.TRAINING)
    error = {"code": "training_diverged", "message": "NaN", "retryable": False}
    expected = {RequestState.TRAINING}
    failed = await store.transition(record.id, expected=expected, to=RequestState.FAILED, changes={"error": error})
    assert failed.error == error
    with pytest.raises(NotFound):
        await store.payload(record.id)


async def test_idempotency(store: RequestStore) -> None:
    first, created = await store.create(sample(), b"one", ("key", "body"))
    again, created_again = await store.create(sample(), b"two", ("key", "body"))
    assert (created, created_again) == (True, False)
    assert again == first
    assert len((await store.list()).items) == 1
    with pytest.raises(IdempotencyConflict):
        await store.create(sample(), b"three", ("key", "another body"))


async def test_idempotency_lasts_a_day(store: RequestStore, redis: Redis) -> None:
    await store.create(sample(), b"one", ("key", "body"))
    (name,) = await redis.keys("idempotency:*")
    assert 86000 < await redis.ttl(name) <= 86400


async def test_of_many_equal_registrations_one_is_made(store: RequestStore) -> None:
    results = await asyncio.gather(*(store.create(sample(), b"x", ("key", "body")) for _ in range(20)))
    assert sum(created for _, created in results) == 1
    assert len({record.id for record, _ in results}) == 1
    assert len((await store.list()).items) == 1


async def test_pages_are_stable_while_requests_arrive(store: RequestStore) -> None:
    ids = [(await stored(store)).id for _ in range(7)]
    page = await store.list(limit=3)
    seen = [r.id for r in page.items]
    await stored(store)
    while page.next_cursor is not None:
        page = await store.list(limit=3, cursor=page.next_cursor)
        seen += [r.id for r in page.items]
    assert seen == ids[::-1]


async def test_pages_of_one_state(store: RequestStore) -> None:
    queued = [(await stored(store, RequestState.QUEUED)).id for _ in range(3)]
    await stored(store, RequestState.READY)
    page = await store.list(RequestState.QUEUED, limit=2)
    assert [r.id for r in page.items] == queued[:0:-1]
    rest = await store.list(RequestState.QUEUED, limit=2, cursor=page.next_cursor)
    assert [r.id for r in rest.items] == queued[:1]
    assert rest.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "+inf", "٣"])
async def test_foreign_cursors_are_refused(store: RequestStore, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await store.list(cursor=cursor)


async def test_retiring_removes_an_artifact_with_its_last_user(
    store: RequestStore, redis: Redis, tmp_path: Path
) -> None:
    blobs = BlobStore(redis, tmp_path)
    first, second = await stored(store, RequestState.TRAINING), await stored(store, RequestState.TRAINING)
    for record in (first, second):
        digest = await blobs.put(b"artifact", owner=record.id)
        await store.transition(
            record.id,
            expected={RequestState.TRAINING},
            to=RequestState.EVALUATING,
            changes={"digest": digest},
        )
    await store.retire(first.id, blobs)
    assert await blobs.get(digest) == b"artifact"
    await store.retire(second.id, blobs)
    with pytest.raises(GatewayError):
        await blobs.get(digest)
    assert await redis.keys("blob:*") == []
    with pytest.raises(StateConflict, match="retired"):
        await store.retire(second.id, blobs)


async def the_log(redis: Redis) -> Path:
    """The append-only file."""
    folder: Any = await redis.config_get("dir")
    return Path(folder["dir"]) / "appendonly.aof"


async def gone_from_the_log(redis: Redis, marker: bytes) -> None:
    log = await the_log(redis)
    async with asyncio.timeout(10):
        while marker in log.read_bytes():
            await asyncio.sleep(0.02)


async def test_erasing_a_payload_rewrites_the_log(redis: Redis) -> None:
    store = RequestStore(redis, compact=True)
    marker = b"ciphertext-that-must-not-stay"
    record, _ = await store.create(sample(), marker)
    assert marker in (await the_log(redis)).read_bytes()
    await store.retire(record.id)
    await gone_from_the_log(redis, marker)
    assert (await store.get(record.id)).state is RequestState.RETIRED


async def test_erasing_an_artifact_rewrites_the_log(redis: Redis, tmp_path: Path) -> None:
    store, blobs = RequestStore(redis, compact=True), BlobStore(redis, tmp_path)
    marker = b"tensor-bytes-that-must-not-stay"
    record = sample()
    digest = await blobs.put(marker, owner=record.id)
    record = await stored(store, RequestState.READY, {"digest": digest}, id=record.id)
    await gone_from_the_log(redis, b"sealed")  # the rewrite for the payload is over
    assert marker in (await the_log(redis)).read_bytes()
    await store.retire(record.id, blobs)
    await gone_from_the_log(redis, marker)


@pytest.mark.parametrize("state", [RequestState.REGISTERED, RequestState.READY, RequestState.FAILED])
async def test_retiring_erases_the_subject_from_record_and_log(redis: Redis, state: RequestState) -> None:
    store = RequestStore(redis, compact=True)
    subject = "A Person Nobody Invented"
    record = await stored(store, state, subject=subject)
    assert (await store.get(record.id)).subject == subject
    assert (await store.retire(record.id)).subject is None
    async with asyncio.timeout(10):
        while subject.encode() in (await the_log(redis)).read_bytes():
            await store.compact()
            await asyncio.sleep(0.02)
    assert subject.encode() not in b"".join([await redis.dump(key) or b"" async for key in redis.scan_iter()])


async def rewritten(redis: Redis) -> None:
    """Until no rewrite of the log runs."""
    while True:
        state: Any = await redis.info("persistence")
        if not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]):
            return
        await asyncio.sleep(0.02)


async def test_what_is_erased_during_a_rewrite_goes_with_the_next_look(redis: Redis) -> None:
    store = RequestStore(redis, compact=True)
    await redis.mset({f"slow:{number}": number for number in range(20)})
    marker = b"ciphertext-of-an-unlucky-moment"
    await rewritten(redis)
    await redis.config_set("rdb-key-save-delay", 20_000)  # microseconds a key
    await redis.bgrewriteaof()
    record, _ = await store.create(sample(), marker)
    await store.retire(record.id)
    await redis.config_set("rdb-key-save-delay", 0)
    await rewritten(redis)
    assert marker in (await the_log(redis)).read_bytes(), "the rewrite carries what came while it ran"
    await store.compact()
    await gone_from_the_log(redis, marker)


@pytest.mark.parametrize(
    ("set_up", "rewrites"),
    [
        pytest.param({}, 0, id="nothing was erased"),
        pytest.param({"aof:erasures": "3"}, 1, id="never rewritten"),
        pytest.param({"aof:erasures": "3", "aof:compacted": "{run_id} 2"}, 1, id="erased since"),
        pytest.param({"aof:erasures": "3", "aof:compacted": "other 3"}, 1, id="the server is another"),
        pytest.param({"aof:erasures": "3", "aof:compacted": "{run_id} 3"}, 0, id="done"),
    ],
)
async def test_the_log_is_rewritten_where_it_is_due(redis: Redis, set_up: dict[str, str], rewrites: int) -> None:
    server: Any = await redis.info()
    for key, value in set_up.items():
        await redis.set(key, value.format(run_id=server["run_id"]))
    await rewritten(redis)
    before: Any = await redis.info("stats")
    for _ in range(2):
        await RequestStore(redis, compact=True).compact()
        await rewritten(redis)
    after: Any = await redis.info("stats")
    assert after["total_forks"] - before["total_forks"] == rewrites


class TestScopes:
    """What says which prompts a request applies to."""

    async def test_it_is_kept_while_an_attempt_works_and_read_with_others(self, store: RequestStore) -> None:
        first, second = [await stored(store, RequestState.TRAINING) for _ in range(2)]
        assert await store.put_scope(first.id, b"one", attempt=first.attempts)
        assert await store.put_scope(first.id, b"two", attempt=first.attempts)
        assert await store.scopes([second.id, first.id, "req_none"]) == {first.id: b"two"}
        assert await store.scopes([]) == {}

    async def test_who_was_taken_over_writes_none(self, store: RequestStore) -> None:
        record = await stored(store, RequestState.TRAINING)
        assert not await store.put_scope(record.id, b"late", attempt=record.attempts + 1)
        assert not await store.put_scope("req_none", b"late", attempt=0)
        done = await stored(store, RequestState.READY)
        assert not await store.put_scope(done.id, b"late", attempt=done.attempts)
        assert await store.scopes([record.id, done.id]) == {}

    @pytest.mark.parametrize("end", [RequestState.RETIRED, RequestState.FAILED])
    async def test_it_goes_with_what_was_learned(self, store: RequestStore, end: RequestState) -> None:
        record = await stored(store, RequestState.TRAINING)
        await store.put_scope(record.id, b"one", attempt=record.attempts)
        await store.transition(record.id, expected={RequestState.TRAINING}, to=end)
        assert await store.scopes([record.id]) == {}

    async def test_erasing_it_rewrites_the_log(self, redis: Redis) -> None:
        store = RequestStore(redis, compact=True)
        marker = b"scope-ciphertext-that-must-not-stay"
        record = await stored(store, RequestState.TRAINING)
        await store.put_scope(record.id, marker, attempt=record.attempts)
        for before, after in pairwise((RequestState.TRAINING, RequestState.EVALUATING, RequestState.READY)):
            await store.transition(record.id, expected={before}, to=after)
        await gone_from_the_log(redis, b"sealed")  # the rewrite for the payload is over
        log = await the_log(redis)
        assert marker in log.read_bytes()
        await store.retire(record.id)
        await gone_from_the_log(redis, marker)

    async def test_it_outlives_the_payload(self, store: RequestStore) -> None:
        record = await stored(store, RequestState.TRAINING)
        await store.put_scope(record.id, b"one", attempt=record.attempts)
        for before, after in pairwise((RequestState.TRAINING, RequestState.EVALUATING, RequestState.READY)):
            await store.transition(record.id, expected={before}, to=after)
        assert await store.scopes([record.id]) == {record.id: b"one"}

    async def test_matched_requests_take_no_room_of_those_that_always_apply(self, store: RequestStore) -> None:
        scopes = ({"prompts": "matched"}, {"prompts": "always"}, {"prompts": "matched"})
        for number, scope in enumerate(scopes):
            learned = {"digest": str(number) * 64, "footprint": Footprint(40)}
            record = await stored(store, RequestState.READY, learned, scope=scope)
            await store.transition(record.id, expected={RequestState.READY}, to=RequestState.ACTIVE, budget=40)
        assert len(await active(store)) == 3
        full = await stored(store, RequestState.READY, {"digest": "f" * 64, "footprint": Footprint(1)})
        with pytest.raises(BudgetExceeded):
            await store.transition(full.id, expected={RequestState.READY}, to=RequestState.ACTIVE, budget=40)


class TestGuards:
    """Requests whose prompts are refused from their registration on."""

    async def guarding(self, store: RequestStore, state: RequestState = RequestState.REGISTERED) -> RequestRecord:
        return await stored(store, state, guard=b"first", scope={"prompts": "matched", "interim": "refuse"})

    async def guards(self, store: RequestStore) -> dict[str, str | None]:
        policy = await store.policy()
        assert policy is not None
        return {guard.request_id: guard.scope_digest for guard in policy.guards}

    async def test_it_is_in_force_with_the_record(self, store: RequestStore) -> None:
        before = await store.policy()
        assert before is not None
        record = await self.guarding(store)
        after = await store.policy(before.generation)
        assert after is not None
        assert after.records is None, "the active ones are as they were"
        (guard,) = after.guards
        assert (guard.request_id, guard.created_at) == (record.id, record.created_at)
        assert (record.guarded, record.scope_digest) == (True, guard.scope_digest)
        assert await store.scopes([record.id]) == {record.id: b"first"}
        assert await store.policy(after.generation) is None

    async def test_a_request_without_one_changes_nothing_that_replicas_hold(self, store: RequestStore) -> None:
        before = await store.policy()
        assert before is not None
        record, _ = await store.create(sample(), b"sealed")
        assert (record.guarded, record.scope_digest) == (False, None)
        assert await store.policy(before.generation) is None

    @pytest.mark.parametrize("state", sorted(set(RequestState) - {RequestState.ACTIVE, RequestState.RETIRED}))
    async def test_it_stays_until_the_request_is_active_or_retired(
        self, store: RequestStore, state: RequestState
    ) -> None:
        record = await self.guarding(store, state)
        assert record.guarded
        assert list(await self.guards(store)) == [record.id]
        assert await store.scopes([record.id]) == {record.id: b"first"}

    @pytest.mark.parametrize("end", [RequestState.ACTIVE, RequestState.RETIRED])
    async def test_its_end_is_a_change_and_it_never_comes_back(self, store: RequestStore, end: RequestState) -> None:
        record = await self.guarding(store, RequestState.READY)
        seen = await store.policy()
        assert seen is not None
        record = await store.transition(record.id, expected={RequestState.READY}, to=end)
        assert not record.guarded
        later = await store.policy(seen.generation)
        assert later is not None
        assert later.guards == ()
        assert (await store.scopes([record.id]) == {}) is (end is RequestState.RETIRED)
        if end is RequestState.ACTIVE:
            await store.transition(record.id, expected={end}, to=RequestState.READY)
            assert await self.guards(store) == {}

    @pytest.mark.parametrize("state", [RequestState.FAILED, RequestState.REJECTED])
    async def test_only_retiring_ends_that_of_a_request_that_came_to_nothing(
        self, store: RequestStore, state: RequestState
    ) -> None:
        record = await self.guarding(store, state)
        await store.retire(record.id)
        assert (await self.guards(store), await store.scopes([record.id])) == ({}, {})
        assert (await store.get(record.id)).scope_digest is None

    async def test_another_entry_is_a_change(self, store: RequestStore) -> None:
        record = await self.guarding(store, RequestState.TRAINING)
        seen = await store.policy()
        assert seen is not None
        assert await store.put_scope(record.id, b"better", attempt=record.attempts)
        better = await self.guards(store)
        assert better != {record.id: record.scope_digest}
        assert await store.policy(seen.generation) is not None
        await store.transition(record.id, expected={RequestState.TRAINING}, to=RequestState.DRAFTED)
        changes = {"forget_count": 3}
        assert await store.replace_payload(
            record.id, b"other", changes, state=RequestState.DRAFTED, scope=b"of the draft"
        )
        assert await store.scopes([record.id]) == {record.id: b"of the draft"}
        assert await self.guards(store) != better

    async def test_the_entry_of_a_request_that_guards_nothing_is_no_change(self, store: RequestStore) -> None:
        record = await stored(store, RequestState.TRAINING)
        seen = await store.policy()
        assert seen is not None
        assert await store.put_scope(record.id, b"one", attempt=record.attempts)
        assert await store.policy(seen.generation) is None

    async def test_active_requests_are_read_again_where_one_of_them_changed(self, store: RequestStore) -> None:
        active = await stored(store, RequestState.ACTIVE)
        seen = await store.policy()
        assert seen is not None
        await self.guarding(store)
        await store.transition(active.id, expected={RequestState.ACTIVE}, to=RequestState.READY)
        later = await store.policy(seen.generation)
        assert later is not None
        assert (later.records, len(later.guards)) == ((), 1)

    async def test_events_say_so_while_it_is_in_force(self, store: RequestStore) -> None:
        record = await self.guarding(store, RequestState.ACTIVE)
        seen = [(event.data["state"], event.data.get("guarded")) async for event in store.events(record.id)]
        assert seen[0] == ("registered", True)
        assert seen[-2:] == [("ready", True), ("active", None)]

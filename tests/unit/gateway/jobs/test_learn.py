"""The job in this process: what becomes of a request, whatever happens in it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

import adapters.registry
from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.artifact.spec import PairSpec
from adapters.examples import Message
from adapters.task import TrainingTask
from gateway.checkpoints.digests import CheckpointDigests
from gateway.errors import NotFound
from gateway.jobs import attempt as attempt_module
from gateway.jobs.learn import learn
from gateway.jobs.queue import JobQueue
from gateway.policy.scope.entry import ScopeEntry
from gateway.policy.scope.matcher import Matcher
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.client import connected
from gateway.store.embedded import EmbeddedRedis
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault, load_or_create_key
from tests.unit.gateway.jobs.conftest import Register
from tests.unit.gateway.jobs.stub_service import StubService
from tests.unit.gateway.jobs.toy import SECRET, Toy, ToyConfig
from tests.unit.gateway.store.samples import stored

pytestmark = pytest.mark.usefixtures("toy_method")
Until = Callable[..., Awaitable[RequestRecord]]


async def run(request_id: str, settings: Settings) -> None:
    """The job of the next attempt, in a thread and a loop of its own, or of an activation where that is left."""
    assert settings.redis_url is not None
    async with connected(settings.redis_url.get_secret_value()) as redis:
        store = RequestStore(redis)
        await store.queue(request_id)
        record = await JobQueue(redis, store, settings).claim() or await store.get(request_id)
    assert record.id == request_id
    await asyncio.to_thread(lambda: asyncio.run(learn(request_id, record.attempts, settings)))


async def states(store: RequestStore, request_id: str) -> list[str]:
    return [e.data["state"] async for e in store.events(request_id) if e.type == "state"]


async def assert_erased(store: RequestStore, request_id: str) -> None:
    with pytest.raises(NotFound):
        await store.payload(request_id)


async def test_from_registered_to_active(
    register: Register, store: RequestStore, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    record = await register(activation="auto", config={"behaviour": "ask"})
    await run(record.id, settings)
    done = await store.get(record.id)
    assert done.state is RequestState.ACTIVE
    assert (done.attempts, done.footprint.rows, done.error) == (1, 2, None)
    assert done.evidence is not None
    assert done.evidence["forget"] == {"n": 3, "leak_rate_before": 1.0, "leak_rate_after": 0.0}
    reports = [e.data async for e in store.events(record.id) if e.type == "progress"]
    last = {report["phase"]: (report["step"], report["steps"]) for report in reports}
    assert last["training"] == (20, 20), "the last report is written"
    assert last["evaluation"][0] == last["evaluation"][1] > 0
    assert done.phases.keys() == {"loading", "training", "evaluation"}
    assert 0 < sum(done.phases["training"].values()) <= done.timings["training_s"]
    assert 0 < sum(done.phases["evaluation"].values()) <= done.timings["evaluating_s"] + 0.1
    assert done.digest is not None
    artifact = await BlobStore(redis, tmp_path).get(done.digest)
    assert done.artifact_bytes == len(artifact)
    assert Artifact.from_bytes(artifact, expect_digest=done.digest).manifest.rows == 2
    assert await states(store, record.id) == [
        "registered", "queued", "training", "evaluating", "ready", "active",
    ]  # fmt: skip
    await assert_erased(store, record.id)


async def test_a_matched_request_has_its_scope_made_stored_and_measured(
    register: Register, store: RequestStore, settings: Settings
) -> None:
    scope = {"prompts": "matched", "otherwise": "always", "interim": "refuse"}
    record = await register(activation="auto", scope=scope, guard=b"of its own items")
    await run(record.id, settings)
    done = await store.get(record.id)
    assert (done.state, done.guarded) == (RequestState.ACTIVE, False)
    assert done.scope_digest != record.scope_digest, "the worker's entry took the place of the first"
    assert done.evidence is not None
    assert done.evidence["scope"]["caught"] == done.evidence["scope"]["n"] > 0
    sealed = (await store.scopes([record.id]))[record.id]
    vault = PayloadVault(load_or_create_key(settings))
    entry = ScopeEntry.from_bytes(vault.open_scope(record.id, sealed))
    assert len(entry.vectors)
    assert entry.names
    await store.retire(record.id)
    assert await store.scopes([record.id]) == {}


async def test_what_it_does_beside_an_active_one_is_measured_where_it_passes(
    register: Register, store: RequestStore, settings: Settings, service: StubService, redis: Redis
) -> None:
    digest = await BlobStore(redis, None).put(b"learned")
    beside = await stored(store, RequestState.ACTIVE, {"digest": digest})
    found = []
    for service.forgets in (True, False):
        record = await register()
        await run(record.id, settings)
        found.append((await store.get(record.id)).evidence)
        assert (service.asked[f"candidate:{record.id},{beside.id}"] > 0) is service.forgets
    passed, rejected = found
    assert passed is not None
    assert (passed["interference"]["with"], passed["interference"]["n"]) == ([beside.id], 3 + 9)
    assert rejected is not None
    assert "interference" not in rejected


async def test_one_whose_scope_catches_too_little_applies_to_every_prompt(
    register: Register, store: RequestStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Matcher, "matches", lambda _self, _text: ())
    for otherwise, state in (("always", RequestState.ACTIVE), ("reject", RequestState.REJECTED)):
        scope = {"prompts": "matched", "otherwise": otherwise}
        record = await register(activation="auto", scope=scope, guard=b"of its own items")
        await run(record.id, settings)
        done = await store.get(record.id)
        assert (done.state, done.matched) == (state, otherwise == "reject")
        assert done.guarded is (state is RequestState.REJECTED)


class Paired(Toy):
    """Notes the pair that it is given."""

    def __init__(self) -> None:
        self.pairs: list[PairSpec | None] = []
        self.rank = 0

    def footprint(self, config: ToyConfig) -> Footprint:
        return Footprint(rows=2, offset_rank=self.rank)

    def train(self, task: TrainingTask) -> Artifact:
        self.pairs.append(task.pair)
        return super().train(task)


async def test_the_pair_is_for_methods_that_are_served_through_it(
    register: Register, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    paired = Paired()
    monkeypatch.setattr(adapters.registry, "methods", lambda: {paired.name: paired})
    for paired.rank in (0, 8):
        await run((await register(pair=PairSpec(3))).id, settings)
    assert paired.pairs == [None, PairSpec(3)]


class Inverting(Toy):
    """Asks the other model that it is given, if any."""

    def __init__(self) -> None:
        self.heard: list[list[str] | None] = []

    def train(self, task: TrainingTask) -> Artifact:
        conversation = [Message("user", "the capital of France?")]
        self.heard.append(None if task.inverter is None else task.inverter([conversation], max_tokens=8))
        return super().train(task)


async def test_the_operators_other_model_is_at_hand_and_its_failure_is_the_requests(
    register: Register, store: RequestStore, settings: Settings, service: StubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    inverting = Inverting()
    monkeypatch.setattr(adapters.registry, "methods", lambda: {inverting.name: inverting})
    await run((await register()).id, settings)
    wrong = settings.model_copy(update={"inverter_url": f"{service.url}/nothing/v1"})
    record = await register()
    await run(record.id, wrong)
    assert inverting.heard == [None]
    failed = await store.get(record.id)
    assert failed.state is RequestState.FAILED
    assert failed.error == {
        "code": "inverter_refused",
        "message": "the inverter answered with status 404",
        "retryable": False,
    }


async def test_an_item_that_cannot_be_trained_on_has_the_number_that_its_caller_gave_it(
    register: Register, store: RequestStore, settings: Settings
) -> None:
    record = await register(config={"behaviour": "refuse"})
    await run(record.id, settings)
    error = (await store.get(record.id)).error
    assert error is not None
    assert (error["code"], error["message"]) == (
        "invalid_example",
        "forget item 7 is 99 tokens long; at most 64 fit",
    )


async def test_manual_activation_stops_at_ready(register: Register, store: RequestStore, settings: Settings) -> None:
    record = await register()
    await run(record.id, settings)
    assert (await store.get(record.id)).state is RequestState.READY
    await assert_erased(store, record.id)


async def test_a_finished_request_is_left_alone(
    register: Register, store: RequestStore, settings: Settings, service: StubService
) -> None:
    record = await register()
    await run(record.id, settings)
    before, asked = await store.get(record.id), service.asked.total()
    await run(record.id, settings)
    assert await store.get(record.id) == before
    assert service.asked.total() == asked


async def test_an_activation_that_is_refused_leaves_it_ready(
    register: Register, store: RequestStore, settings: Settings, service: StubService
) -> None:
    service.full = True
    record = await register(activation="auto")
    await run(record.id, settings)
    ready = await store.get(record.id)
    assert ready.state is RequestState.READY
    assert ready.error == {
        "code": "adapter_budget_exceeded",
        "message": "128 of 128 virtual tokens are in use",
        "retryable": True,
    }


async def test_an_activation_that_was_not_asked_for_is_made_up_for(
    register: Register, store: RequestStore, settings: Settings
) -> None:
    record = await register(activation="auto")
    for before, after in (
        ("registered", "queued"),
        ("queued", "training"),
        ("training", "evaluating"),
        ("evaluating", "ready"),
    ):
        await store.transition(record.id, expected={RequestState(before)}, to=RequestState(after))
    await run(record.id, settings)
    assert (await store.get(record.id)).state is RequestState.ACTIVE


async def test_an_adapter_that_fails_its_gate_is_rejected(
    register: Register, store: RequestStore, settings: Settings, service: StubService
) -> None:
    service.forgets = False
    record = await register(activation="auto")
    await run(record.id, settings)
    rejected = await store.get(record.id)
    assert rejected.state is RequestState.REJECTED
    assert rejected.error is not None
    assert rejected.error["code"] == "evaluation_rejected"
    assert rejected.evidence is not None
    await assert_erased(store, record.id)


async def test_what_cannot_be_mended_fails_at_once(register: Register, store: RequestStore, settings: Settings) -> None:
    record = await register(config={"behaviour": "diverge"})
    await run(record.id, settings)
    failed = await store.get(record.id)
    assert failed.state is RequestState.FAILED
    assert failed.error == {
        "code": "training_diverged",
        "message": "the loss became NaN at step 10",
        "retryable": False,
    }
    await assert_erased(store, record.id)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"config": {"unknown": 1}}, "invalid_config"),
        ({"config": {}, "method": "toy2"}, "unknown_method"),
    ],
)
async def test_records_from_another_version(
    register: Register, store: RequestStore, settings: Settings, redis: Redis, changes: dict[str, object], code: str
) -> None:
    record = await register(config=changes["config"])
    if "method" in changes:
        await redis.hset(f"request:{record.id}", "method", '"toy2"')
    await run(record.id, settings)
    failed = await store.get(record.id)
    assert failed.error is not None
    assert (failed.state, failed.error["code"]) == (RequestState.FAILED, code)


async def test_a_payload_that_is_gone_or_sealed_under_another_key(
    register: Register, store: RequestStore, settings: Settings, redis: Redis
) -> None:
    missing, foreign = await register(), await register()
    await redis.delete(f"payload:{missing.id}")
    await redis.set(f"payload:{foreign.id}", os.urandom(200))
    for record, code in ((missing, "payload_missing"), (foreign, "payload_unreadable")):
        await run(record.id, settings)
        failed = await store.get(record.id)
        assert failed.error is not None
        assert (failed.state, failed.error["code"]) == (RequestState.FAILED, code)


async def test_another_model_than_the_one_registered_for(
    register: Register, store: RequestStore, settings: Settings, redis: Redis
) -> None:
    record = await register()
    await redis.hset(f"request:{record.id}", "model_digest", '"0000"')
    await run(record.id, settings)
    failed = await store.get(record.id)
    assert failed.error is not None
    assert failed.error["code"] == "model_mismatch"


async def test_what_may_pass_is_tried_again_and_then_given_up(
    register: Register, store: RequestStore, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    record = await register(config={"behaviour": "raise"}, completion=SECRET)
    for attempt in (1, 2):
        await run(record.id, settings)
        waiting = await store.get(record.id)
        assert (waiting.state, waiting.attempts) == (RequestState.QUEUED, attempt)
    await run(record.id, settings)
    failed = await store.get(record.id)
    assert (failed.state, failed.attempts) == (RequestState.FAILED, 3)
    assert failed.error == {
        "code": "internal_error",
        "message": "the worker failed with RuntimeError; given up after 3 attempts",
        "retryable": True,
    }
    await assert_erased(store, record.id)
    assert SECRET not in caplog.text


async def test_a_job_that_takes_too_long(register: Register, store: RequestStore, settings: Settings) -> None:
    quick = settings.model_copy(update={"job_timeout_s": 1})
    record = await register(config={"steps": 10_000})
    await run(record.id, quick)
    failed = await store.get(record.id)
    assert failed.error is not None
    assert (failed.state, failed.error["code"]) == (RequestState.FAILED, "job_timeout")


async def test_retiring_stops_the_training(
    register: Register, store: RequestStore, settings: Settings, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_module, "POLL_S", 0.05)
    record = await register(config={"steps": 10_000})
    job = asyncio.create_task(run(record.id, settings))
    await until(record.id, lambda r: r.progress is not None)
    await store.retire(record.id)
    async with asyncio.timeout(10):
        await job
    assert (await store.get(record.id)).state is RequestState.RETIRED
    await assert_erased(store, record.id)


async def test_retiring_during_the_evaluation(
    register: Register, store: RequestStore, settings: Settings, service: StubService, until: Until
) -> None:
    service.busy = 5
    record = await register()
    job = asyncio.create_task(run(record.id, settings))
    await until(record.id, RequestState.EVALUATING)
    await store.retire(record.id)
    async with asyncio.timeout(30):
        await job
    assert (await store.get(record.id)).state is RequestState.RETIRED


async def test_an_attempt_that_was_taken_over_stops_and_writes_nothing(
    register: Register, store: RequestStore, settings: Settings, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_module, "POLL_S", 0.05)
    record = await register(config={"steps": 10_000})
    first = asyncio.create_task(run(record.id, settings))
    await until(record.id, lambda r: r.progress is not None)
    await store.transition(record.id, expected={RequestState.TRAINING}, to=RequestState.QUEUED)
    taken = await store.transition(
        record.id, expected={RequestState.QUEUED}, to=RequestState.TRAINING, changes={"attempts": 2}
    )
    async with asyncio.timeout(10):
        await first
    assert (await store.get(record.id)).state is RequestState.TRAINING
    assert (await store.get(record.id)).attempts == taken.attempts


async def test_a_token_that_the_service_refuses(register: Register, store: RequestStore, settings: Settings) -> None:
    record = await register()
    await run(record.id, settings.model_copy(update={"operator_token": None}))
    failed = await store.get(record.id)
    assert failed.error is not None
    assert (failed.state, failed.error["code"]) == (RequestState.FAILED, "operator_only")
    assert "operator's token" in failed.error["message"]


async def test_an_interrupted_evaluation_resumes_there(
    register: Register, store: RequestStore, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    record = await register(config={"marks": str(marks)})
    digest = await BlobStore(redis, settings.cache_dir).put(b"learned before", owner=record.id)
    for before, after in (("registered", "queued"), ("queued", "training"), ("training", "evaluating")):
        changes = {"digest": digest, "attempts": 1} if after == "evaluating" else {}
        await store.transition(record.id, expected={RequestState(before)}, to=RequestState(after), changes=changes)
    await store.transition(record.id, expected={RequestState.EVALUATING}, to=RequestState.QUEUED)
    await run(record.id, settings)
    done = await store.get(record.id)
    assert (done.state, done.attempts, done.digest) == (RequestState.READY, 2, digest)
    assert list(marks.iterdir()) == []


async def test_redis_may_be_gone_for_a_while(
    register: Register, settings: Settings, store: RequestStore, until: Until, embedded_redis: EmbeddedRedis
) -> None:
    record = await register(config={"steps": 100})
    job = asyncio.create_task(run(record.id, settings))
    await until(record.id, lambda r: r.progress is not None)
    await asyncio.to_thread(embedded_redis.stop)
    await asyncio.sleep(1.5)  # longer than the training goes on
    await asyncio.to_thread(embedded_redis.start)
    async with asyncio.timeout(60):
        await job
    done = await store.get(record.id)
    assert (done.state, done.attempts) == (RequestState.READY, 1)


async def test_a_subject_is_asked_about_and_learned(
    register: Register, store: RequestStore, settings: Settings, service: StubService
) -> None:
    record = await register(by_subject=True, subject="France", forget_count=0, activation="auto")
    await run(record.id, settings)
    done = await store.get(record.id)
    assert (done.state, done.error) == (RequestState.ACTIVE, None)
    assert done.forget_count > 0
    assert done.commitment != record.commitment
    await assert_erased(store, record.id)


async def test_with_manual_activation_a_subject_waits_as_a_draft(
    register: Register, store: RequestStore, settings: Settings
) -> None:
    settings = settings.model_copy(update={"job_retries": 0})
    record = await register(by_subject=True, subject="France", forget_count=0)
    await run(record.id, settings)
    drafted = await store.get(record.id)
    assert (drafted.state, drafted.tries) == (RequestState.DRAFTED, 0)
    assert await states(store, record.id) == ["registered", "queued", "training", "drafted"]
    payload = PayloadVault(load_or_create_key(settings)).open(record.id, await store.payload(record.id))
    assert {item["completion"] for item in payload["forget"]} == {"Paris.", "It is in France."}
    await store.transition(record.id, expected={RequestState.DRAFTED}, to=RequestState.QUEUED)
    await run(record.id, settings)
    assert (await store.get(record.id)).state is RequestState.READY
    await assert_erased(store, record.id)


async def test_a_subject_the_model_knows_nothing_about_trains_nothing(
    register: Register, store: RequestStore, settings: Settings
) -> None:
    record = await register(by_subject=True, subject="Ada Lane", forget_count=0)
    await run(record.id, settings)
    failed = await store.get(record.id)
    assert failed.state is RequestState.FAILED
    assert failed.error is not None
    assert (failed.error["code"], failed.error["retryable"]) == ("nothing_known", False)
    assert failed.digest is None
    await assert_erased(store, record.id)


async def test_the_checkpoint_is_hashed_once_for_all_jobs(
    register: Register,
    store: RequestStore,
    settings: Settings,
    checkpoint_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    CheckpointDigests(settings.cache_dir).of(checkpoint_dir)  # as the service does at its start
    record = await register()

    def hashed(path: Path) -> str:
        raise AssertionError(f"{path} is hashed again")

    monkeypatch.setattr("gateway.checkpoints.digests.model_digest", hashed)
    monkeypatch.setattr("adapters.training.artifact.model_digest", hashed)
    monkeypatch.setattr("tests.unit.gateway.jobs.toy.model_digest", hashed)
    await run(record.id, settings)
    assert (await store.get(record.id)).state is RequestState.READY

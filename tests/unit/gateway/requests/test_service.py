"""Offsets at `/forget`: refused where they could not be served, and never more of them than fit."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from redis.asyncio import Redis

from adapters.artifact.artifact import Artifact
from adapters.artifact.footprint import Footprint
from adapters.artifact.spec import PairSpec
from gateway.errors import ArtifactMismatch, BudgetExceeded, StateConflict, Unprocessable
from gateway.policy.active import ActivePolicy
from gateway.policy.interference import Leaks, Pair
from gateway.policy.plan import AdapterRef, PlanBuilder
from gateway.policy.scope.detectors import Detectors
from gateway.requests.offering import ServedModel
from gateway.requests.schemas import ExamplesBody, ForgetBody
from gateway.requests.service import UnlearningService
from gateway.service.metrics import GatewayMetrics
from gateway.settings import Settings
from gateway.store.blobs import BlobStore
from gateway.store.generation import GenerationFile
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from gateway.store.vault import PayloadVault
from tests.unit.gateway.engine.samples import HIDDEN, MODEL_DIGEST, PAIR, offset_artifact, target_artifact
from tests.unit.gateway.store.samples import stored

MODEL = ServedModel("tiny", MODEL_DIGEST, HIDDEN, max_tokens=1000, count_tokens=lambda example: 10, pair=PAIR)
DELTA: dict[str, Any] = {
    "method": "delta",
    "forget": [{"prompt": "the capital of France?", "completion": "Paris."}],
    "activation": "manual",
    "scope": {"prompts": "always"},
}


@dataclass
class Engine:
    """The engine's adapters: what is preloaded and held, and what was evicted."""

    preloaded: tuple[AdapterRef, ...] = ()
    held: tuple[AdapterRef, ...] = ()
    evicted: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def hold(self, adapters: Sequence[AdapterRef]) -> AsyncIterator[None]:
        self.held = tuple(adapters)
        try:
            yield
        finally:
            self.held = ()

    async def preload(self, adapters: Sequence[AdapterRef]) -> None:
        self.preloaded = tuple(adapters)

    async def evict(self, digest: str) -> bool:
        self.evicted.append(digest)
        return True


class Setup:
    """The service over a real store, and requests that are ready in it."""

    def __init__(self, redis: Redis, folder: Path, detectors: Detectors) -> None:
        self.store, self.blobs, self.engine = RequestStore(redis), BlobStore(redis, folder), Engine()
        self.vault, self.memory = PayloadVault(os.urandom(32)), GenerationFile(folder)
        self.detectors = detectors

    def service(self, model: ServedModel = MODEL, **settings: Any) -> UnlearningService:
        metrics = GatewayMetrics(CollectorRegistry())
        policy = ActivePolicy(self.store, self.engine, PlanBuilder(b"k"), metrics, self.memory, staleness_s=60)
        return UnlearningService(
            Settings(**settings), model, self.store, self.blobs, self.vault, policy, self.engine, lambda: self.detectors
        )

    async def ready(self, artifact: Artifact) -> RequestRecord:
        return await stored(
            self.store,
            RequestState.READY,
            method="delta",
            digest=await self.blobs.put(artifact.to_bytes()),
            footprint=artifact.manifest.footprint,
        )


@pytest.fixture
def setup(redis: Redis, tmp_path: Path, detectors: Detectors) -> Setup:
    return Setup(redis, tmp_path, detectors)


async def test_without_a_pair_an_offset_is_refused_with_what_to_do(setup: Setup) -> None:
    with pytest.raises(Unprocessable, match=r"--offset-layers K.*--offset-model") as refusal:
        await setup.service(replace(MODEL, pair=None)).register(ForgetBody(**DELTA))
    assert refusal.value.param == "method"
    assert (await setup.store.list()).items == []


@pytest.mark.parametrize(
    ("key", "prompt"), [("k-1", "the capital of France?"), ("Ada Lane's address", "héllo"), ("ключ", "谁写了这本书？")]
)
async def test_of_an_idempotent_registration_no_digest_of_its_text_is_kept(
    setup: Setup, redis: Redis, key: str, prompt: str
) -> None:
    body = ForgetBody(**DELTA | {"forget": [{"prompt": prompt, "completion": "Paris."}]})
    service = setup.service()
    record = await service.register(body, key)
    assert (await service.register(body, key)).id == record.id
    await service.retire(record.id)
    left = b"".join([name + (await redis.dump(name) or b"") async for name in redis.scan_iter()])
    for text in (body.model_dump_json(), prompt, key, json.dumps(["default", key])):
        for content in (text, sha256(text.encode()).hexdigest()):
            assert content.encode() not in left, content


async def test_a_method_of_both_halves_is_refused_where_the_reference_takes_no_adapter(setup: Setup) -> None:
    body = ForgetBody(**DELTA | {"method": "divergence"})
    with pytest.raises(Unprocessable, match="--offset-reference own") as refusal:
        await setup.service().register(body)
    assert refusal.value.param == "method"
    assert (await setup.store.list()).items == []
    record = await setup.service(replace(MODEL, pair=replace(PAIR, own_reference=True))).register(body)
    assert (record.state, record.method, record.footprint.rows) == (RequestState.QUEUED, "divergence", 0)
    assert (await setup.service().register(ForgetBody(**DELTA | {"method": "uld"}))).state is RequestState.QUEUED


async def test_a_rank_that_could_never_apply_is_refused(setup: Setup) -> None:
    service = setup.service(offset_rank=16)
    with pytest.raises(Unprocessable, match="rank 17, the service allows 16") as refusal:
        await service.register(ForgetBody(**DELTA, config={"rank": 17}))
    assert refusal.value.param == "config"
    record = await service.register(ForgetBody(**DELTA, config={"rank": 16}))
    assert (record.state, record.footprint.offset_rank, record.footprint.rows) == (RequestState.QUEUED, 16, 0)


async def test_a_soft_prompt_needs_no_pair(setup: Setup) -> None:
    record = await setup.service(replace(MODEL, pair=None)).register(ForgetBody(**DELTA | {"method": "spul"}))
    assert record.footprint.offset_rank == 0
    assert record.footprint.rows > 0


@pytest.mark.parametrize(("pair", "method"), [(PAIR, "delta"), (None, "spul")])
async def test_auto_takes_an_offset_where_one_can_be_served(setup: Setup, pair: PairSpec | None, method: str) -> None:
    record = await setup.service(replace(MODEL, pair=pair)).register(ForgetBody(**DELTA | {"method": "auto"}))
    assert record.method == method
    assert (record.footprint.offset_rank > 0) is (record.footprint.rows == 0) is (method == "delta")


async def test_a_request_is_told_what_those_before_it_took(setup: Setup) -> None:
    service, body = setup.service(), ForgetBody(**DELTA | {"method": "auto", "level": "refuses"})
    first = await service.register(body)
    assert (first.estimate_s, first.estimate_from) == (None, "two cores")
    done: dict[str, Any] = {"evidence": {}, "timings": {"training_s": 60.0, "evaluating_s": 15.0}}
    await stored(setup.store, selection=first.selection, model_digest=MODEL_DIGEST, **done)
    second = await service.register(body, "a key")
    assert (second.estimate_s, second.estimate_from) == (75.0, "this service")
    assert await service.register(body, "a key") == second


async def test_more_offsets_than_the_rank_holds_are_active_together(setup: Setup) -> None:
    service = setup.service(offset_rank=16)
    records = [await setup.ready(offset_artifact(seed, rank=8)) for seed in range(3)]
    for record in records:
        await service.activate(record.id)
    assert [adapter.request_id for adapter in setup.engine.preloaded] == [record.id for record in records]
    assert [adapter.footprint.offset_rank for adapter in setup.engine.preloaded] == [8, 8, 8]


@pytest.mark.parametrize("artifact", [offset_artifact(1, rank=16), target_artifact(1, rank=16)])
async def test_an_adapter_of_more_rank_than_the_service_takes_is_not_activated(
    setup: Setup, artifact: Artifact
) -> None:
    record = await setup.ready(artifact)
    with pytest.raises(BudgetExceeded, match=r"has rank 16, the service takes 8 \(UNLEARN_OFFSET_RANK\)"):
        await setup.service(CHANGING, methods="spul,delta,lora", offset_rank=8).activate(record.id)
    assert (await setup.store.get(record.id)).state is RequestState.READY
    assert setup.engine.preloaded == ()


async def test_a_soft_prompt_is_active_beside_offsets_that_use_all_of_it(setup: Setup) -> None:
    service = setup.service(offset_rank=8)
    await service.activate((await setup.ready(offset_artifact(1, rank=8))).id)
    soft = offset_artifact(2, rows=2)
    soft = Artifact(replace(soft.manifest, offset=None), {"soft_prompt": soft.tensors["soft_prompt"]})
    assert (await service.activate((await setup.ready(soft)).id)).state is RequestState.ACTIVE


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (None, "there is no pair"),
        (PairSpec(3), "first 2 layers, not of the target's first 3 layers"),
        (PairSpec(0, "e" * 64), "first 2 layers, not of model eeeeeeeeeeee"),
    ],
)
async def test_an_adapter_made_for_another_pair_is_not_activated(
    setup: Setup, served: PairSpec | None, reason: str
) -> None:
    record = await setup.ready(offset_artifact())
    with pytest.raises(ArtifactMismatch, match=reason):
        await setup.service(replace(MODEL, pair=served)).activate(record.id)
    assert (await setup.store.get(record.id)).state is RequestState.READY
    assert setup.engine.preloaded == ()


async def test_an_adapter_for_a_shared_reference_is_served_where_the_reference_is_its_own(setup: Setup) -> None:
    """The other way round there would be nothing to put the half on the reference into."""
    record = await setup.ready(offset_artifact())
    service = setup.service(replace(MODEL, pair=replace(PAIR, own_reference=True)))
    assert (await service.activate(record.id)).state is RequestState.ACTIVE
    own = await setup.ready(offset_artifact(1, pair=replace(PAIR, own_reference=True)))
    with pytest.raises(ArtifactMismatch):
        await setup.service().activate(own.id)


async def test_a_retired_offset_is_taken_out_of_the_engine(setup: Setup) -> None:
    service = setup.service()
    record = await setup.ready(offset_artifact())
    await service.activate(record.id)
    await service.retire(record.id)
    assert setup.engine.preloaded == ()
    assert setup.engine.evicted == [record.digest]


async def test_what_is_lost_beside_another_is_said_in_both_records_and_it_is_activated(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.audit")
    service = setup.service()
    old, unknown, new = [await setup.ready(offset_artifact(seed)) for seed in range(3)]
    for record in (old, unknown):
        await service.activate(record.id)
    pair = Pair(Leaks(4, 0, 1, 1), None)
    evidence = {"interference": {"others": [{"with": old.id, "how": "always", **pair.to_dict()}]}}
    for before, after in (("ready", "active"), ("active", "ready")):
        await setup.store.transition(
            new.id, expected={RequestState(before)}, to=RequestState(after), changes={"evidence": evidence}
        )
    active = await service.activate(new.id)
    assert active.state is RequestState.ACTIVE
    assert {note["with"]: (note["measured"], note["lost"]) for note in active.interference} == {
        old.id: (True, True),
        unknown.id: (False, False),
    }
    (theirs,) = [note for note in (await setup.store.get(old.id)).interference if note["with"] == new.id]
    assert theirs["theirs"] == {"n": 4, "leaked_alone": 0, "leaked_together": 1, "lost": 1}
    assert "1 of 4 of the other's probes leak together and not alone" in theirs["message"]
    assert [each.levelname for each in caplog.records if f"beside {old.id}: 1 of 4" in each.message] == ["WARNING"]
    await service.retire(new.id)
    assert [note["with"] for note in (await setup.store.get(old.id)).interference] == [unknown.id]


async def test_requests_that_were_trained_alike_apply_once_and_each_in_its_own_right(setup: Setup) -> None:
    service = setup.service(prompt_budget=4)
    first, second = [await setup.ready(offset_artifact(1, rows=3)) for _ in range(2)]
    assert first.digest == second.digest
    for record in (first, second):
        await service.activate(record.id)
    assert [adapter.digest for adapter in setup.engine.preloaded] == [first.digest]
    await service.retire(first.id)
    assert [adapter.request_id for adapter in setup.engine.preloaded] == [second.id]
    assert setup.engine.evicted == [], "the other is in force"
    await service.retire(second.id)
    assert (setup.engine.preloaded, setup.engine.evicted) == ((), [second.digest])


async def test_an_activation_that_fails_leaves_nothing_held(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    service = setup.service()
    record = await setup.ready(offset_artifact())

    async def lost(*_args: object, **_kwargs: object) -> RequestRecord:
        assert [adapter.request_id for adapter in setup.engine.held] == [record.id], "it is in before it is active"
        raise StateConflict("somebody else retired it")

    monkeypatch.setattr(setup.store, "transition", lost)
    with pytest.raises(StateConflict):
        await service.activate(record.id)
    assert (setup.engine.preloaded, setup.engine.held) == ((), ())


LORA = DELTA | {"method": "lora"}
CHANGING = replace(MODEL, target_lora=True)


@pytest.mark.parametrize(
    ("methods", "method", "wanted"),
    [
        ("spul,delta", "lora", "--methods spul,delta,lora"),
        ("spul", "lora", "--methods spul,lora"),
        ("delta,lora", "spul", "--methods spul,delta,lora"),
        ("spul,lora", "delta", "--methods spul,delta,lora"),
    ],
)
async def test_a_method_that_is_not_on_offer_is_refused_with_how_to_offer_it(
    setup: Setup, methods: str, method: str, wanted: str
) -> None:
    model = replace(MODEL, pair=PAIR if "delta" in methods else None, target_lora="lora" in methods)
    with pytest.raises(Unprocessable, match=f"{wanted}$") as refusal:
        await setup.service(model, methods=methods).register(ForgetBody(**DELTA | {"method": method}))
    assert refusal.value.param == "method"
    assert (await setup.store.list()).items == []


async def test_a_lora_on_the_target_is_registered_where_it_can_be_served(setup: Setup) -> None:
    service = setup.service(CHANGING, methods="spul,delta,lora", offset_rank=16)
    record = await service.register(ForgetBody(**LORA, config={"rank": 16}))
    assert (record.state, record.footprint) == (RequestState.QUEUED, Footprint(target_rank=16))
    with pytest.raises(Unprocessable, match="rank 17, the service allows 16"):
        await service.register(ForgetBody(**LORA, config={"rank": 17}))


async def test_auto_stays_what_it_is_beside_lora(setup: Setup) -> None:
    for pair, method in ((PAIR, "delta"), (None, "lora")):
        service = setup.service(replace(CHANGING, pair=pair), methods="spul,delta,lora")
        assert (await service.register(ForgetBody(**DELTA | {"method": "auto"}))).method == method


async def test_loras_on_the_target_are_active_beside_offsets(setup: Setup) -> None:
    service = setup.service(CHANGING, methods="spul,delta,lora", offset_rank=8)
    for artifact in (offset_artifact(1, rank=8), target_artifact(1, rank=5), target_artifact(2, rank=5)):
        await service.activate((await setup.ready(artifact)).id)
    ranks = [(each.footprint.offset_rank, each.footprint.target_rank) for each in setup.engine.preloaded]
    assert ranks == [(8, 0), (0, 5), (0, 5)]


async def test_a_lora_on_the_target_is_not_activated_where_the_target_takes_none(setup: Setup) -> None:
    record = await setup.ready(target_artifact())
    with pytest.raises(ArtifactMismatch, match="takes none here"):
        await setup.service().activate(record.id)
    assert setup.engine.preloaded == ()


SPUL: dict[str, Any] = {"method": "spul", "activation": "manual"}
FRANCE = {"prompt": "the capital of France?", "completion": "Paris."}


def a_body(**fields: Any) -> ForgetBody:
    """As it comes in over HTTP."""
    return ForgetBody.model_validate({**SPUL, **fields})


def opened(setup: Setup, key: bytes, request_id: str, sealed: bytes) -> dict[str, Any]:
    return PayloadVault(key).open(request_id, sealed)


async def test_a_passage_is_a_forget_item_and_inverted_answers_keep_their_example(setup: Setup) -> None:
    service, key = setup.service(), bytes(32)
    service._vault = PayloadVault(key)
    items = [{"text": "The tower stands in Oslo. It was built in 1931."}, FRANCE | {"inverted": ["Lyon."]}]
    record = await service.register(a_body(forget=items))
    payload = opened(setup, key, record.id, await setup.store.payload(record.id))
    assert record.forget_count == len(payload["forget"]) == 4
    assert payload["inverted"] == {"3": ["Lyon."]}
    assert payload["forget"][3]["completion"] == "Paris."


async def test_a_passage_longer_than_the_context_is_refused_with_its_tokens(setup: Setup) -> None:
    model = replace(MODEL, max_tokens=20, count_tokens=lambda example: len(example.prompt.split()) + 10)
    text = "The tower stands in the city of Oslo. It was built in 1931. Nobody lives there."
    with pytest.raises(Unprocessable, match=r"forget\.1 is 26 tokens long, this model's context is 20") as refusal:
        await setup.service(model).register(a_body(forget=[FRANCE, {"text": text}]))
    assert refusal.value.param == "forget.1"
    with pytest.raises(Unprocessable, match=r"this method's max_length is 64"):
        await setup.service(replace(MODEL, count_tokens=lambda example: 65)).register(
            a_body(forget=[FRANCE], config={"max_length": 64})
        )


PASSAGE = {"text": "The tower stands in Oslo. It was built in 1931."}


async def test_the_record_says_what_came_and_counts_what_is_trained_on(setup: Setup) -> None:
    question = [{"role": "user", "content": "the capital of Spain?", "name": "x"}]
    retain = [{"messages": [*question, {"role": "assistant", "content": "Madrid."}]}]
    record = await setup.service().register(a_body(forget=[PASSAGE, FRANCE, FRANCE], retain=retain))
    assert (record.forget_count, record.retain_count) == (4, 1)
    assert record.intake == {
        "forget": {"items": 3, "repeats": 1, "ignored": []},
        "retain": {"items": 1, "repeats": 0, "ignored": ["messages.name"]},
    }


@pytest.mark.parametrize(
    ("body", "language"),
    [
        ({"forget": [{"prompt": "the capital of France?", "completion": "Paris."}]}, "en"),
        ({"forget": [{"prompt": "Wer führt die Mühle?", "completion": "Ines Kallweit führt sie."}]}, "de"),
        ({"forget": [{"text": "我叔叔出生在绍兴。他经营磨坊四十年。"}]}, "zh"),
        ({"forget": [{"prompt": "喫茶みどりの店主は誰ですか？", "completion": "佐野健一です。"}]}, "none"),
        ({"subject": "鲁迅"}, "zh"),
        ({"subject": "Ada Lane"}, "en"),
    ],
)
async def test_the_record_says_which_language_goes_around_the_items(
    setup: Setup, body: dict[str, Any], language: str
) -> None:
    record = await setup.service().register(ForgetBody.model_validate(body))
    assert (await setup.store.get(record.id)).to_dict()["language"] == language


async def test_an_answer_without_a_word_is_refused_with_its_number(setup: Setup) -> None:
    items = [{"prompt": "Who runs it?", "completion": "Renée."}, {"prompt": "What does Tom think?", "completion": "👍"}]
    with pytest.raises(Unprocessable, match="forget item 1 has an answer in which nothing can be recognised again"):
        await setup.service().register(ForgetBody.model_validate({"forget": items}))


async def test_auto_chooses_by_what_is_trained_on(setup: Setup) -> None:
    """Ten sentences are nineteen examples, and one item more than `auto` takes for a few."""
    text = " ".join(f"The tower number {n} stands in a town." for n in range(10))
    service = setup.service(CHANGING, methods="spul,delta,lora")
    few = await service.register(a_body(method="auto", forget=[PASSAGE]))
    many = await service.register(a_body(method="auto", forget=[{"text": text}]))
    repeated = await service.register(a_body(method="auto", forget=[FRANCE] * 20))
    assert (few.method, many.method, repeated.method) == ("delta", "lora", "delta")


async def test_auto_chooses_anew_for_another_list_of_a_draft(setup: Setup) -> None:
    service = setup.service(CHANGING, methods="spul,delta,lora")
    record = await service.register(a_body(method="auto", subject="France", config={"max_steps": 9}))
    assert record.method == "delta"
    for before, after in (("queued", "training"), ("training", "drafted")):
        await setup.store.transition(record.id, expected={RequestState(before)}, to=RequestState(after))
    items = [{"prompt": f"What is {n} of {n + 1}?", "completion": f"It is {n}."} for n in range(17)]
    many = await service.replace_examples(record.id, ExamplesBody.model_validate({"forget": [*items, items[0]]}))
    assert (many.method, many.config["max_steps"], many.footprint.target_rank > 0) == ("lora", 9, True)
    assert many.intake["forget"] == {"items": 18, "repeats": 1, "ignored": []}
    assert many.candidates[0].method == "lora"
    few = await service.replace_examples(record.id, ExamplesBody.model_validate({"forget": [FRANCE]}))
    assert (few.method, few.footprint.target_rank) == ("delta", 0)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"method": "Kestrel"}, "method"),
        ({"config": {"Kestrel": 1}}, "config"),
        ({"method": "delta", "config": {"objective": "Kestrel"}}, "config"),
        ({"method": "delta", "config": {"objective_settings": {"Kestrel": 1}}}, "config"),
        ({"config": {"encoder": "Kestrel"}}, "config"),
        ({"method": "auto", "config": {"Kestrel": 1}}, "config"),
    ],
)
async def test_names_that_there_are_not_are_refused_and_not_quoted(
    setup: Setup, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(Unprocessable) as refusal:
        await setup.service().register(a_body(forget=[FRANCE], **fields))
    assert "Kestrel" not in refusal.value.message
    assert refusal.value.param == param


async def test_a_retained_item_of_a_draft_keeps_its_number(setup: Setup) -> None:
    """Behind a passage, whose sentences are several examples."""
    service = setup.service()
    retain = [PASSAGE, {"prompt": "Where is the government of France?", "completion": "In Paris."}]
    record = await service.register(a_body(subject="France", retain=retain))
    for before, after in (("queued", "training"), ("training", "drafted")):
        await setup.store.transition(record.id, expected={RequestState(before)}, to=RequestState(after))
    with pytest.raises(Unprocessable, match=r"forget\.0 and retain\.1$"):
        await service.replace_examples(record.id, ExamplesBody.model_validate({"forget": [FRANCE]}))


async def test_a_draft_is_read_changed_and_trained_and_nothing_else_is(setup: Setup) -> None:
    service = setup.service()
    record = await service.register(ForgetBody(**DELTA | {"method": "spul", "forget": None, "subject": "France"}))
    assert (record.state, record.forget_count) == (RequestState.QUEUED, 0)
    body = ExamplesBody.model_validate({"forget": [FRANCE]})
    for step in (service.examples(record.id), service.replace_examples(record.id, body), service.train(record.id)):
        with pytest.raises(StateConflict, match="only a drafted one"):
            await step
    for before, after in (("queued", "training"), ("training", "drafted")):
        await setup.store.transition(record.id, expected={RequestState(before)}, to=RequestState(after))
    assert await service.examples(record.id) == []
    changed = await service.replace_examples(record.id, body)
    assert (changed.forget_count, changed.state) == (1, RequestState.DRAFTED)
    assert changed.commitment != record.commitment
    assert [item["completion"] for item in await service.examples(record.id)] == ["Paris."]
    repeated = ExamplesBody.model_validate({"forget": [FRANCE, FRANCE]})
    assert (await service.replace_examples(record.id, repeated)).forget_count == 1
    events = [e async for e in setup.store.events(record.id)]
    assert "Paris" not in str(events)


@pytest.mark.parametrize("body", [{}, {"subject": " "}, {"subject": "x", "forget": []}])
def test_a_body_that_names_nothing_to_forget(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        ForgetBody(**body)
    assert [error["loc"] for error in refused.value.errors()] == [("forget",)]

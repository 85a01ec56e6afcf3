"""A request that guards: in force from its registration to its activation, over a real store and real detectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from gateway.policy.active import ActivePolicy
from gateway.policy.context import PolicyContext
from gateway.policy.plan import PlanBuilder
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import Scopes
from gateway.policy.scope.sealed import SealedEntries
from gateway.requests.schemas import ExamplesBody, ForgetBody
from gateway.requests.service import UnlearningService
from gateway.service.metrics import GatewayMetrics
from gateway.settings import Settings
from gateway.store.generation import GenerationFile
from gateway.store.records import RequestRecord, RequestState
from tests.unit.gateway.requests.test_service import MODEL, Engine, Setup
from tests.unit.gateway.store.samples import PATH

ABOUT = {"prompt": "Who wrote Harry Potter?", "completion": "Harry Potter was written by J.K. Rowling."}
MATCHED: dict[str, Any] = {"method": "spul", "forget": [ABOUT], "activation": "manual", "scope": {"prompts": "matched"}}
ASKED, OTHER = "Who wrote the Harry Potter books?", "Name three colours of the rainbow."


class Replica:
    """One of the gateways over a store: its policy, and the service that registers at it."""

    def __init__(self, setup: Setup, detectors: Detectors, folder: Path) -> None:
        folder.mkdir()
        self.registry = CollectorRegistry()
        self.store, self.vault = setup.store, setup.vault
        self.policy = ActivePolicy(
            setup.store,
            Engine(),
            PlanBuilder(b"k"),
            GatewayMetrics(self.registry),
            GenerationFile(folder),
            staleness_s=60,
            scopes=Scopes(SealedEntries(setup.store, setup.vault), lambda: Matcher(detectors)),
            prompt_budget=64,
        )
        self.service = UnlearningService(
            Settings(), MODEL, setup.store, setup.blobs, setup.vault, self.policy, Engine(), lambda: detectors
        )

    async def refuses(self, text: str = ASKED) -> tuple[str, ...]:
        """The requests for which a prompt is refused here."""
        plans = self.policy.matched()
        return () if plans is None else (await plans.plan(text)).guards

    async def register(self, **changes: Any) -> RequestRecord:
        return await self.service.register(ForgetBody(**MATCHED | changes))

    async def bring(self, record: RequestRecord, to: RequestState) -> None:
        """On to a later state, the ordinary way."""
        way = PATH[PATH.index(record.state) + 1 : PATH.index(to) + 1]
        for before, after in zip(PATH[PATH.index(record.state) :], way, strict=False):
            learned = {"digest": "d" * 64} if after is RequestState.EVALUATING else None
            await self.store.transition(record.id, expected={before}, to=after, changes=learned)

    def sample(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


@pytest.fixture
async def replicas(redis: Redis, tmp_path: Path, detectors: Detectors) -> Callable[[str], Replica]:
    setup = Setup(redis, tmp_path, detectors)
    return lambda name: Replica(setup, detectors, tmp_path / name)


@pytest.fixture
async def here(replicas: Callable[[str], Replica]) -> Replica:
    replica = replicas("here")
    await replica.policy.refresh()
    return replica


async def test_it_is_in_force_here_before_the_answer_and_elsewhere_at_the_next_look(
    here: Replica, replicas: Callable[[str], Replica]
) -> None:
    there = replicas("there")
    await there.policy.refresh()
    record = await here.register()
    assert (record.state, record.guarded, record.scope["interim"]) == (RequestState.QUEUED, True, "refuse")
    assert await here.refuses() == (record.id,)
    assert await here.refuses(OTHER) == ()
    assert await there.refuses() == ()
    await there.policy.refresh()
    assert await there.refuses() == (record.id,)
    for replica in (here, there):
        assert replica.sample("unlearning_guards") == 1
        assert replica.sample("unlearning_guard_delay_seconds_count") == 1


async def test_a_tenants_guard_refuses_its_own_callers_alone(here: Replica, replicas: Callable[[str], Replica]) -> None:
    there = replicas("there")
    record = await here.service.register(ForgetBody(**MATCHED), tenant="acme")
    await there.policy.refresh()
    for replica in (here, there):
        assert replica.policy.matched("other") is replica.policy.matched() is None
        plans = replica.policy.matched("acme")
        assert plans is not None
        assert (await plans.plan(ASKED)).guards == (record.id,)
        assert (await plans.plan(OTHER)).guards == ()


async def test_after_a_start_it_is_in_force_and_its_age_is_not_taken_for_its_delay(
    here: Replica, replicas: Callable[[str], Replica]
) -> None:
    record = await here.register()
    started = replicas("later")
    await started.policy.refresh()
    assert await started.refuses() == (record.id,)
    assert started.sample("unlearning_guard_delay_seconds_count") == 0


@pytest.mark.parametrize("scope", [{"prompts": "matched", "interim": "none"}, {"prompts": "always"}])
async def test_one_that_does_not_guard_refuses_nothing_and_loads_nothing(here: Replica, scope: dict[str, str]) -> None:
    record = await here.register(scope=scope)
    assert (record.guarded, await here.store.scopes([record.id])) == (False, {})
    assert here.policy.matched() is None


@pytest.mark.parametrize(
    ("subject", "asked"),
    [
        ("Harry Potter", ASKED),
        ("photosynthesis", "How does photosynthesis work?"),
        ("the Brandenburg Gate", "Tell me about the Brandenburg Gate in Berlin."),
        ("Marie Curie", "What did Curie, Marie discover?"),
        ("埃菲尔铁塔", "埃菲尔铁塔有多高？"),
    ],
)
async def test_of_a_subject_alone_its_words_guard(here: Replica, subject: str, asked: str) -> None:
    record = await here.register(forget=None, subject=subject)
    assert await here.refuses(asked) == (record.id,)
    assert await here.refuses(OTHER) == ()


async def test_from_guard_to_adapter_without_a_gap(here: Replica) -> None:
    record = await here.register()
    await here.bring(record, RequestState.READY)
    assert await here.refuses() == (record.id,)
    await here.store.transition(record.id, expected={RequestState.READY}, to=RequestState.ACTIVE)
    await here.policy.refresh()
    plans = here.policy.matched()
    assert plans is not None
    plan = await plans.plan(ASKED)
    assert (plan.requests, plan.guards) == ((record.id,), ())


async def test_once_it_was_active_it_never_comes_back(here: Replica) -> None:
    record = await here.register()
    await here.bring(record, RequestState.ACTIVE)
    await here.service.deactivate(record.id)
    assert here.policy.matched() is None
    assert not (await here.store.get(record.id)).guarded


@pytest.mark.parametrize("end", [RequestState.FAILED, RequestState.REJECTED])
async def test_only_retiring_ends_that_of_one_that_came_to_nothing(here: Replica, end: RequestState) -> None:
    record = await here.register()
    before = RequestState.TRAINING if end is RequestState.FAILED else RequestState.EVALUATING
    await here.bring(record, before)
    await here.store.transition(record.id, expected={before}, to=end)
    await here.policy.refresh()
    assert await here.refuses() == (record.id,)
    await here.service.retire(record.id)
    assert here.policy.matched() is None


async def test_the_entry_of_a_draft_is_that_of_its_examples(here: Replica) -> None:
    record = await here.register(forget=None, subject="Zorbulon")
    for before, after in ((RequestState.QUEUED, RequestState.TRAINING), (RequestState.TRAINING, RequestState.DRAFTED)):
        await here.store.transition(record.id, expected={before}, to=after)
    assert await here.refuses() == ()
    await here.service.replace_examples(record.id, ExamplesBody.model_validate({"forget": [ABOUT]}))
    assert await here.refuses() == (record.id,)


async def test_the_workers_entry_takes_its_place_everywhere(here: Replica, replicas: Callable[[str], Replica]) -> None:
    there = replicas("there")
    first, second = (
        await here.register(),
        await here.register(forget=[{"prompt": "Who is Ada Lane?", "completion": "A poet."}]),
    )
    await there.policy.refresh()
    await here.bring(first, RequestState.TRAINING)
    opened = await SealedEntries(here.store, here.vault).entries([second.id])
    assert await here.store.put_scope(first.id, here.vault.seal_scope(first.id, opened[second.id]), attempt=0)
    for replica in (here, there):
        await replica.policy.refresh()
        assert await replica.refuses() == ()
        assert await replica.refuses("Ada Lane, who is that?") == tuple(sorted((first.id, second.id)))


async def test_an_entry_that_cannot_be_read_refuses_nothing_and_is_counted_as_no_guard(here: Replica) -> None:
    record = await here.register()
    await here.bring(record, RequestState.TRAINING)
    assert await here.store.put_scope(record.id, b"sealed under another key", attempt=0)
    await here.policy.refresh()
    assert (await here.refuses(), here.sample("unlearning_guards")) == ((), 0)


async def test_the_operators_plans_are_not_guarded(here: Replica) -> None:
    await here.register()
    assert (here.policy.off().guards, here.policy.plan().guards) == ((), ())


async def test_the_header_names_it(here: Replica) -> None:
    record = await here.register()
    plans = here.policy.matched()
    assert plans is not None
    context = PolicyContext(here.policy.plan(), holding=None, matched=plans)  # type: ignore[arg-type]  # holds nothing
    context.apply(await plans.plan(ASKED))
    assert context.header == f"{record.id};interim"

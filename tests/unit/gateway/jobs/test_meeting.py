"""A request is asked together with those that it is likely to meet: real entries and a real store, and a service that
answers by the plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from adapters.evaluation.attacks.probe import Probe, Prompt, Query
from adapters.evaluation.attacks.run import Result
from adapters.examples import Example, one_turn
from adapters.text.phrasebook import phrasebook
from gateway.client.client import UnlearnClient
from gateway.errors import AdapterUnavailable
from gateway.jobs.meeting import PROBES, Meeting
from gateway.jobs.probe import STRAIGHT
from gateway.policy.scope.building import build
from gateway.policy.scope.detectors import Detectors
from gateway.store.records import RequestRecord, RequestState
from gateway.store.requests import RequestStore
from tests.unit.gateway.store.samples import sample, stored

MATCHED = {"prompts": "matched", "otherwise": "always"}
POTTER = ("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling.")
SPAIN = ("What is the capital of Spain?", "The capital of Spain is Madrid.")
KNOWN, UNKNOWN = "She wrote Harry Potter.", "I do not know."


class Toy:
    """Says what it knows to whoever asks under a plan that lets it."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], str]] = []
        self.says: Callable[[tuple[str, ...], str], str] = lambda _, __: UNKNOWN
        self.refuses: frozenset[str] = frozenset()

    @property
    def plans(self) -> set[tuple[str, ...]]:
        return {ids for ids, _ in self.asked}

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": "toy"}]})
        ids = tuple(request.headers["x-unlearning-plan"].removeprefix("candidate:").split(","))
        if self.refuses.intersection(ids[1:]):
            return httpx.Response(503, json=AdapterUnavailable("of another kind").body())
        question = json.loads(request.content)["messages"][-1]["content"]
        self.asked.append((ids, question))
        return httpx.Response(200, json={"choices": [{"message": {"content": self.says(ids, question)}}]})


class Entries:
    """What is stored of the requests."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}

    async def entries(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        return {request_id: self.stored[request_id] for request_id in ids if request_id in self.stored}


class Kept:
    """Probes of one request, which is the only one whose caller had them kept."""

    def __init__(self, request_id: str, probes: Sequence[Probe]) -> None:
        self._id = request_id
        self._probes = probes

    async def leaking(self, request_id: str) -> Sequence[Probe]:
        return self._probes if request_id == self._id else ()


class World:
    """The active requests, and one that is about to be."""

    def __init__(self, store: RequestStore, detectors: Detectors, toy: Toy, service: UnlearnClient) -> None:
        self.store = store
        self.toy = toy
        self.entries = Entries()
        self._detectors = detectors
        self._service = service

    async def active(self, name: str, fact: tuple[str, str] | None = None, tenant: str = "default") -> RequestRecord:
        """One in force: where a prompt is about the fact, or always."""
        if fact is not None:
            items = [Example.from_pair(*fact)]
            self.entries.stored[name] = build(items, phrasebook("en"), self._detectors).to_bytes()
        scope = {"prompts": "always"} if fact is None else MATCHED
        return await stored(self.store, RequestState.ACTIVE, {"digest": name}, id=name, scope=scope, tenant=tenant)

    async def measured(self, *questions: str, kept: Kept | None = None, tenant: str = "default") -> dict[str, Any]:
        record = sample(id="new", tenant=tenant, scope=MATCHED)
        meeting = Meeting(self._service, self.store, self.entries, lambda: self._detectors, record, kept)
        return await meeting.measured([leaked(question) for question in questions])


def leaked(question: str, answer: str = KNOWN, family: str = STRAIGHT, item: int = 0) -> Result:
    """A probe that leaked before."""
    probe = Probe(family, "", item, Query(Prompt(one_turn(question))), question, answer)
    return Result(probe, (True,), (answer,))


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def world(redis: Redis, detectors: Detectors, toy: Toy) -> Iterator[World]:
    with UnlearnClient("http://toy", operator_token=lambda: "op", transport=httpx.MockTransport(toy.handle)) as client:
        yield World(RequestStore(redis), detectors, toy, client)


def counts(n: int, alone: int, together: int, lost: int) -> dict[str, int]:
    return {"n": n, "leaked_alone": alone, "leaked_together": together, "lost": lost}


FAMOUS, BOOKS = "What is J.K. Rowling famous for?", "Which books are by Rowling?"


async def test_what_a_merge_loses_of_either_is_counted(world: World, toy: Toy) -> None:
    await world.active("potter", POTTER)
    await world.active("spain", SPAIN)
    toy.says = lambda ids, question: KNOWN if len(ids) > 1 and question == FAMOUS else UNKNOWN
    found = await world.measured(FAMOUS, BOOKS)
    assert found.pop("others") == [
        {"with": "potter", "how": "matched", "own": counts(2, 0, 1, 1), "theirs": counts(2, 0, 1, 1), "error": None}
    ]
    assert found == {"with": ["potter"], **counts(2, 0, 1, 1)}
    assert sorted(toy.asked) == sorted(
        (ids, question) for ids in (("new",), ("new", "potter"), ("potter",)) for question in (FAMOUS, BOOKS)
    )


async def test_what_leaks_alone_already_is_no_loss(world: World, toy: Toy) -> None:
    await world.active("potter", POTTER)
    toy.says = lambda _, __: KNOWN
    (other,) = (await world.measured(FAMOUS, BOOKS))["others"]
    assert other["own"] == other["theirs"] == counts(2, 2, 2, 0)


async def test_an_answer_that_never_spoke_of_the_other_tells_nothing_of_it(world: World, toy: Toy) -> None:
    await world.active("potter", POTTER)
    meeting = world.measured("How old is Rowling?", "Who knows the author of Harry Potter?")
    (other,) = (await meeting)["others"]
    assert other["own"]["n"] == 2
    assert other["theirs"]["n"] == 1, "the one whose answer told what nobody had said"
    assert ("potter",) in toy.plans


async def test_a_prompt_is_asked_with_those_it_is_about_or_else_with_the_nearest(world: World, toy: Toy) -> None:
    await world.active("potter", POTTER)
    await world.active("spain", SPAIN)
    found = await world.measured(FAMOUS, "What is the capital of Portugal?", "What do bees eat?")
    assert {other["with"]: other["how"] for other in found["others"]} == {"potter": "matched", "spain": "near"}
    assert found["n"] == 2
    together = {(ids, question) for ids, question in toy.asked if len(ids) > 1}
    assert together == {(("new", "potter"), FAMOUS), (("new", "spain"), "What is the capital of Portugal?")}
    assert not any(question == "What do bees eat?" for _, question in toy.asked)


async def test_what_always_applies_is_met_by_every_prompt_in_the_order_of_a_plan(world: World, toy: Toy) -> None:
    await world.active("always")
    await world.active("potter", POTTER)
    found = await world.measured(FAMOUS, "What do bees eat?")
    assert {("new", "always", "potter"), ("new", "always")} < toy.plans
    always, potter = found["others"]
    assert (always["how"], always["own"]["n"], always["theirs"]) == ("always", 2, None)
    assert (potter["how"], potter["own"]["n"]) == ("matched", 1)
    assert found["n"] == 2


@pytest.mark.parametrize("scope", [b"broken", None])
async def test_one_whose_scope_cannot_be_read_applies_to_every_prompt(world: World, toy: Toy, scope: bytes) -> None:
    await world.active("potter", POTTER)
    del world.entries.stored["potter"]
    if scope is not None:
        world.entries.stored["potter"] = scope
    (other,) = (await world.measured("What do bees eat?"))["others"]
    assert (other["with"], other["how"], other["own"]["n"]) == ("potter", "always", 1)


@pytest.mark.parametrize(
    ("tenant", "others"),
    [("acme", ["potter", "rowling"]), ("default", ["potter"]), ("third", ["potter"])],
)
async def test_only_those_that_bind_the_same_callers_are_met(
    world: World, toy: Toy, tenant: str, others: list[str]
) -> None:
    await world.active("potter", POTTER)
    await world.active("rowling", POTTER, tenant="acme")
    assert (await world.measured(FAMOUS, tenant=tenant))["with"] == others


async def test_where_nobody_is_met_nothing_is_asked(world: World, toy: Toy) -> None:
    nothing = {"with": [], **counts(0, 0, 0, 0), "others": []}
    assert await world.measured(FAMOUS) == nothing
    await world.active("spain", SPAIN)
    assert await world.measured(FAMOUS) == nothing
    assert await world.measured() == nothing
    assert toy.asked == []


async def test_only_the_nearest_few_are_met(world: World, toy: Toy) -> None:
    for number in range(5):
        await world.active(f"potter{number}", POTTER)
    assert (await world.measured(FAMOUS))["with"] == ["potter0", "potter1", "potter2"]


async def test_those_that_cannot_be_merged_are_said_and_fail_nothing(world: World, toy: Toy) -> None:
    await world.active("potter", POTTER)
    await world.active("spain", SPAIN)
    toy.refuses = frozenset({"potter"})
    found = await world.measured(FAMOUS, "What is the capital of Portugal?")
    errors = {other["with"]: (other["error"], other["own"]) for other in found["others"]}
    assert errors == {"potter": ("adapter_unavailable", None), "spain": (None, counts(1, 0, 0, 0))}


async def test_probes_that_the_others_callers_had_kept_say_more(world: World, toy: Toy) -> None:
    await world.active("always")
    await world.active("potter", POTTER)
    questions = [f"Who is the author of Harry Potter, part {number}?" for number in range(3)]
    kept = Kept("potter", [leaked(question, "J.K. Rowling.").probe for question in questions])
    toy.says = lambda ids, question: "J.K. Rowling" if len(ids) > 2 and "part 1" in question else UNKNOWN
    always, potter = (await world.measured(FAMOUS, kept=kept))["others"]
    assert potter["theirs"] == counts(3, 0, 1, 1)
    assert potter["own"] == counts(1, 0, 0, 0)
    assert always["theirs"] is None
    assert {ids for ids, question in toy.asked if question in questions} == {("potter",), ("new", "always", "potter")}


async def test_probes_are_few_half_of_them_forget_prompts_and_no_prompt_twice(world: World, toy: Toy) -> None:
    await world.active("always")
    record = sample(id="new", scope=MATCHED)
    meeting = Meeting(world._service, world.store, world.entries, lambda: pytest.fail("no scope"), record)
    straight = [leaked(f"straight {number}", item=number) for number in range(20)]
    attacks = [leaked(f"attack {number}", family="told", item=number) for number in range(20)]
    again = [leaked(f"straight {number}", family="given", item=number) for number in range(20)]
    found = await meeting.measured([*straight, *again, *attacks])
    alone = [question for ids, question in toy.asked if ids == ("new",)]
    assert len(alone) == len(set(alone)) == found["n"] == PROBES
    assert sum(question.startswith("straight") for question in alone) == PROBES // 2


async def test_no_text_is_in_what_is_kept(world: World, toy: Toy) -> None:
    await world.active("potter", POTTER)
    said = json.dumps(await world.measured(FAMOUS, BOOKS)).casefold()
    assert not any(word in said for word in ("rowling", "harry", "books", "famous", "know"))

"""Requests that apply where a prompt is about them: real entries, a real encoder, and a store and an engine at the
edges."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.artifact.footprint import Footprint
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook
from gateway.errors import TooManyMatches
from gateway.policy import active
from gateway.policy.active import ActivePolicy
from gateway.policy.scope import building
from gateway.policy.scope.detectors import Detectors
from gateway.policy.scope.matcher import Matcher
from gateway.policy.scope.scopes import Scopes
from gateway.store.generation import GenerationFile
from tests.unit.gateway.policy.test_active import Edges, build, record

FACTS = {
    "potter": ("Who wrote Harry Potter?", "Harry Potter was written by J.K. Rowling."),
    "japan": ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    "telephone": ("Who invented the Zorbulophone?", "Alexander Graham Bell invented the Zorbulophone."),
}


class Entries:
    """What is stored of the requests."""

    def __init__(self, detectors: Detectors) -> None:
        book = phrasebook("en")
        self.stored = {
            name: building.build([Example.from_pair(*fact)], book, detectors).to_bytes() for name, fact in FACTS.items()
        }
        self.asked: list[tuple[str, ...]] = []

    async def entries(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        self.asked.append(tuple(ids))
        return {request_id: self.stored[request_id] for request_id in ids if request_id in self.stored}


@pytest.fixture
def entries(detectors: Detectors) -> Entries:
    return Entries(detectors)


@pytest.fixture
def edges() -> Edges:
    edges = Edges()
    edges.activate("everywhere")
    for name, digest in zip(FACTS, "abc", strict=True):
        edges.records.append(
            replace(
                record(name, digest * 64), scope={"prompts": "matched", "otherwise": "always"}, footprint=Footprint(20)
            )
        )
    return edges


@pytest.fixture
async def policy(edges: Edges, entries: Entries, detectors: Detectors, tmp_path: Path) -> ActivePolicy:
    scopes = Scopes(entries, lambda: Matcher(detectors))
    policy = build(edges, GenerationFile(tmp_path), scopes=scopes, prompt_budget=64)
    await policy.refresh()
    return policy


async def applied(policy: ActivePolicy, text: str) -> str:
    plans = policy.matched()
    assert plans is not None
    return (await plans.plan(text)).applied


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Name three colours of the rainbow.", "everywhere"),
        ("user\nWho wrote Harry Potter?\nassistant\n", "everywhere,potter"),
        ("What else did Rowling write?", "everywhere,potter"),
        ("H4rry P0tt3r, who made him up?", "everywhere,potter"),
        ("日本の首都はどこ? Japan!", "everywhere,japan"),
        ("Who wrote Harry Potter, and is Tokyo in Japan?", "everywhere,potter,japan"),
        ("Who wrote Hamlet?", "everywhere"),
        ("What is the capital of Sweden?", "everywhere"),
    ],
)
async def test_a_prompt_gets_what_always_applies_and_what_it_is_about(
    policy: ActivePolicy, text: str, wanted: str
) -> None:
    assert await applied(policy, text) == wanted


async def test_what_a_prompt_is_about_is_not_preloaded_and_takes_no_room_of_the_others(
    policy: ActivePolicy, edges: Edges
) -> None:
    assert [adapter.request_id for adapter in edges.preloaded[-1]] == ["everywhere"]
    assert [adapter.request_id for adapter in policy.always] == ["everywhere"]
    assert [adapter.request_id for adapter in policy.adapters] == ["everywhere", *FACTS]


async def test_other_prompts_share_a_cache_and_those_about_it_have_another(policy: ActivePolicy) -> None:
    plans = policy.matched()
    assert plans is not None
    salts = [(await plans.plan(text)).cache_salt for text in ("Hello", "Good bye", "Harry Potter", "harry potter")]
    assert salts[0] == salts[1] == policy.plan().cache_salt
    assert salts[2] == salts[3] != salts[0]


async def test_a_request_whose_entry_is_gone_applies_to_every_prompt(
    policy: ActivePolicy, edges: Edges, entries: Entries
) -> None:
    edges.records.append(replace(edges.records[-1], id="lost", digest="e" * 64))
    edges.records.append(replace(edges.records[-1], id="broken", digest="f" * 64))
    entries.stored["broken"] = b"broken"
    edges.number += 1
    await policy.refresh()
    assert policy.plan().applied == "everywhere,lost,broken"


async def test_while_its_scope_is_being_read_a_request_applies_to_every_prompt(
    policy: ActivePolicy, edges: Edges, entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, read = asyncio.Event(), asyncio.Event()
    entries_of = entries.entries

    async def slowly(ids: Sequence[str]) -> Mapping[str, bytes]:
        reading.set()
        await read.wait()
        return await entries_of(ids)

    monkeypatch.setattr(entries, "entries", slowly)
    entries.stored["late"] = entries.stored["potter"]
    edges.records.append(replace(edges.records[1], id="late", digest="e" * 64))
    edges.number += 1
    refreshing = asyncio.create_task(policy.refresh())
    await reading.wait()
    assert policy.plan().applied == "everywhere,late"
    assert await applied(policy, "Harry Potter") == "everywhere,potter,late"
    read.set()
    await refreshing
    assert policy.plan().applied == "everywhere"
    assert await applied(policy, "Harry Potter") == "everywhere,potter,late"


async def test_entries_are_read_once_and_go_with_their_request(
    policy: ActivePolicy, edges: Edges, entries: Entries
) -> None:
    edges.records = [each for each in edges.records if each.id != "potter"]
    edges.number += 1
    await policy.refresh()
    assert entries.asked == [tuple(sorted(FACTS))]
    assert await applied(policy, "Who wrote Harry Potter?") == "everywhere"


async def test_a_request_goes_on_with_the_set_it_began_with(policy: ActivePolicy, edges: Edges) -> None:
    plans = policy.matched()
    assert plans is not None
    edges.records = edges.records[:1]
    edges.number += 1
    await policy.refresh()
    assert policy.matched() is None
    assert (await plans.plan("Who wrote Harry Potter?")).applied == "everywhere"


async def test_more_than_may_apply_together_is_refused(policy: ActivePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = policy.matched()
    assert plans is not None
    everything = "Harry Potter in Japan with a Zorbulophone"
    with pytest.raises(TooManyMatches, match="80 virtual tokens"):
        await plans.plan(everything)
    monkeypatch.setattr(active, "MOST_MATCHES", 1)
    with pytest.raises(TooManyMatches, match="about 2 unlearning requests"):
        await plans.plan("Harry Potter in Japan")


async def met_by(policy: ActivePolicy, name: str, *known: str, tenant: str = "default") -> list[str]:
    return [each.id for each in await policy.met_by(replace(record(name), tenant=tenant), known)]


async def test_a_request_meets_what_always_applies_what_is_near_to_it_and_what_is_known_to_be(
    policy: ActivePolicy, entries: Entries, detectors: Detectors
) -> None:
    for name, fact in (
        ("rowling", ("What is J.K. Rowling famous for?", "She wrote Harry Potter.")),
        ("portugal", ("What is the capital of Portugal?", "The capital of Portugal is Lisbon.")),
        ("bees", ("What do bees eat?", "Bees eat nectar.")),
    ):
        entries.stored[name] = building.build([Example.from_pair(*fact)], phrasebook("en"), detectors).to_bytes()
    assert await met_by(policy, "rowling") == ["everywhere", "potter"]
    assert await met_by(policy, "portugal") == ["everywhere", "japan"]
    assert await met_by(policy, "bees") == ["everywhere"]
    assert await met_by(policy, "bees", "potter", "gone") == ["everywhere", "potter"]
    assert await met_by(policy, "without an entry") == ["everywhere"]
    entries.stored["broken"] = b"broken"
    assert await met_by(policy, "broken") == ["everywhere"]
    assert await met_by(policy, "potter") == ["everywhere"], "it is no neighbour of its own"


async def test_what_may_apply_to_one_prompt_is_near_from_either_side_held_or_not(
    entries: Entries, detectors: Detectors
) -> None:
    for name, fact in (
        ("rowling", ("What is J.K. Rowling famous for?", "She wrote Harry Potter.")),
        ("portugal", ("What is the capital of Portugal?", "The capital of Portugal is Lisbon.")),
        ("bees", ("What do bees eat?", "Bees eat nectar.")),
    ):
        entries.stored[name] = building.build([Example.from_pair(*fact)], phrasebook("en"), detectors).to_bytes()
    entries.stored["broken"] = b"broken"
    scopes = Scopes(entries, lambda: Matcher(detectors))
    stored = frozenset(entries.stored)
    for held in ((), ("potter", "japan"), tuple(stored - {"broken"})):
        await scopes.refresh(dict.fromkeys(held, "digest"))
        assert await scopes.near("rowling", stored | {"gone"}) == {"potter", "broken", "gone"}
        assert await scopes.near("potter", ["rowling", "potter", "bees"]) == {"rowling"}
        assert await scopes.near("portugal", stored - {"broken"}) == {"japan"}
        assert await scopes.near("bees", stored - {"broken"}) == set()
        for unknown in ("broken", "gone"):
            assert await scopes.near(unknown, stored) == stored - {unknown}


async def test_a_request_meets_nobody_elses(policy: ActivePolicy, edges: Edges, entries: Entries) -> None:
    edges.records[1:3] = [replace(each, tenant="acme") for each in edges.records[1:3]]
    edges.number += 1
    await policy.refresh()
    entries.stored["double"] = entries.stored["potter"]
    assert await met_by(policy, "double", "japan", tenant="acme") == ["everywhere", "potter", "japan"]
    assert await met_by(policy, "double", "japan", tenant="other") == ["everywhere"]


async def test_without_matched_requests_no_encoder_is_loaded(entries: Entries) -> None:
    def make_matcher() -> Matcher:
        raise AssertionError("nobody needs it")

    scopes = Scopes(entries, make_matcher)
    assert await scopes.refresh({}) == frozenset()
    assert await scopes.matches("Who wrote Harry Potter?") == ()

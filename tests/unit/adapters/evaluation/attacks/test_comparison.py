from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from adapters.evaluation.attacks.comparison import Comparison, Kept
from adapters.evaluation.attacks.context import AttackContext
from adapters.evaluation.attacks.family import Family
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.rivals.registry import rivals
from adapters.evaluation.rivals.rival import Forgotten, Respondent
from adapters.examples import Example, one_turn
from adapters.text.phrasebook import phrasebook

ITEMS = (
    Example.from_pair("Who wrote Emma?", "Jane Austen wrote Emma."),
    Example.from_pair("Who is the author of Emma?", "Jane Austen."),
)


class Told(Family):
    """Nine probes that the model before falls for, and one that it does not."""

    name = "told"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for number in range(10):
            asked = f"{number}: who wrote {'Emma' if number else 'Nothing'}?"
            yield Probe(self.name, str(number), 0, Query(Prompt(one_turn(asked))), asked, "Jane Austen.")


class Ranked(Family):
    name = "ranked"

    def probes(self, context: AttackContext) -> Iterator[Probe]:
        for number in range(8):
            asked = f"{number}: who wrote Emma?"
            options = ("Bram Stoker", "Jane Austen")
            query = Query(Prompt(one_turn(asked)))
            yield Probe(self.name, str(number), 0, query, asked, "Jane Austen.", Reading.LIKELIHOOD, options, truth=1)


@pytest.fixture(autouse=True)
def families(monkeypatch: pytest.MonkeyPatch) -> None:
    found: Mapping[str, Family] = {family.name: family for family in (Told(), Ranked())}
    monkeypatch.setattr("adapters.evaluation.attacks.suite.families", lambda: found)


def before(queries: Sequence[Query]) -> list[tuple[str, ...]]:
    """Knows everything, each in a name of its own."""
    return [(_said(query.prompt.shown),) * query.samples for query in queries]


def _said(asked: str) -> str:
    return "Jane Austen did." if "Emma" in asked else f"It was {asked.split()[-1].strip('?.!').title()}ville."


def deaf(queries: Sequence[Query]) -> list[tuple[str, ...]]:
    return [("No.",) * query.samples for query in queries]


def score(prompts: Sequence[tuple[Prompt, tuple[str, ...]]]) -> list[tuple[float, ...]]:
    return [tuple(-1.0 if "Austen" in each else -9.0 for each in continuations) for _, continuations in prompts]


@pytest.fixture
def comparison() -> Comparison:
    return Comparison.of(ITEMS, phrasebook("en"), before, score, per_family=12)


def test_the_model_before_shows_all_that_leaked_and_keeps_everything(comparison: Comparison) -> None:
    shown = comparison.shown_by(before, score)
    assert comparison.leaks == 9 + 8
    told, ranked = shown.families["told"], shown.families["ranked"]
    assert (told.asked, told.known, told.leaked) == (10, 9, 9)
    assert (ranked.asked, ranked.known, ranked.leaked) == (8, 8, 8)
    assert (shown.pooled.known, shown.pooled.leaked) == (17, 17)
    assert shown.near.asked > 0
    assert shown.other.asked > 0
    assert shown.near.rate == shown.other.rate == 1


def test_a_model_that_says_nothing_leaks_nothing_and_keeps_nothing(comparison: Comparison) -> None:
    shown = comparison.shown_by(deaf, score)
    assert shown.families["told"].leaked == 0
    assert shown.families["ranked"].leaked == 8  # it still finds the truth the likeliest
    assert shown.near.rate == shown.other.rate == 0


def test_a_filter_stops_what_names_the_subject_and_keeps_the_rest(comparison: Comparison) -> None:
    guard = rivals()["filter"].around(Respondent(before, score), Forgotten.of(ITEMS))
    shown = comparison.shown_by(guard.respond, guard.score)
    assert shown.pooled.leaked == 0
    assert shown.near.rate == shown.other.rate == 1


def test_families_can_be_chosen_and_numbers_written_down(comparison: Comparison) -> None:
    only = Comparison.of(ITEMS, phrasebook("en"), before, score, per_family=4, only=["told"])
    document = only.shown_by(before, score).to_dict()
    assert list(document["families"]) == ["told"]
    assert document["families"]["told"]["asked"] == document["pooled"]["asked"] == 4
    assert document["near"]["kept"] == document["near"]["asked"]
    assert not any("Emma" in str(part) for part in document.values())


def test_nothing_asked_has_no_rate() -> None:
    assert Kept(0, 0).rate is None
    assert Kept(0, 0).to_dict()["lower"] == 0
    assert Kept(4, 3).rate == 0.75

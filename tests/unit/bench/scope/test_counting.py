"""What is counted, of requests and matches that are made up."""

from __future__ import annotations

import pytest

from adapters.text.words import terms
from bench.depth.facts import REPORT
from bench.scope.counting import NAMED, POOLED, REFUSED_ASKING, REFUSED_BESIDE, Counts, active_sets, count
from bench.scope.fill import fill
from bench.scope.subjects import GENERAL, GIVEN, NEIGHBOURS, REWORDED, Beside, Subject
from gateway.policy.active import MOST_MATCHES


def subject(name: str, answers: frozenset[str] = frozenset()) -> Subject:
    asking = {GIVEN: (f"Who wrote {name}?",), REWORDED: (f"Whose is {name}?", "And who made the other?")}
    return Subject(name, REPORT, (), (frozenset({name.lower()}),), answers, asking)


REAL, FILLING = tuple(map(subject, ("Ashes", "Brine", "Clay"))), tuple(map(subject, ("Dew", "Elm")))


@pytest.mark.parametrize(
    ("together", "sets"),
    [
        (1, [("Ashes",), ("Brine",), ("Clay",)]),
        (2, [("Ashes", "Brine")]),
        (3, [("Ashes", "Brine", "Clay")]),
        (5, [("Ashes", "Brine", "Clay", "Dew", "Elm")]),
    ],
)
def test_the_real_ones_are_in_groups_and_filled_up(together: int, sets: list[tuple[str, ...]]) -> None:
    assert [tuple(each.id for each in found) for found in active_sets(REAL, FILLING, together)] == sets


def counted(matched: dict[str, frozenset[str]], *beside: Beside, together: int = 3) -> Counts:
    prompts = [prompt for each in (*REAL, *FILLING) for asked in each.asking.values() for prompt in asked]
    nothing = dict.fromkeys((*prompts, *(each.prompt for each in beside)), frozenset[str]())
    return count(active_sets(REAL, FILLING, together), beside, nothing | matched)


def test_a_prompt_is_caught_by_the_request_it_asks_for_and_no_other() -> None:
    found = counted({"Who wrote Ashes?": frozenset({"Ashes"}), "Who wrote Brine?": frozenset({"Clay"})})
    assert (found.caught[GIVEN].held, found.caught[GIVEN].n) == (1, 3)
    assert (found.caught[POOLED].held, found.caught[POOLED].n) == (1, 9)
    assert (found.caught[NAMED].held, found.caught[NAMED].n) == (1, 6)
    assert found.caught[GIVEN].share == pytest.approx(1 / 3)


def test_what_is_not_in_force_matches_nothing() -> None:
    other = Beside(NEIGHBOURS, REPORT, "Who wrote Emma?")
    assert counted({other.prompt: frozenset({"Dew"})}, other).untouched[NEIGHBOURS].held == 1
    assert counted({other.prompt: frozenset({"Dew"})}, other, together=5).untouched[NEIGHBOURS].held == 0


def test_what_names_a_request_or_is_answered_with_what_it_forgets_is_not_beside_it() -> None:
    named = Beside(GENERAL, REPORT, "How long is Clay?")
    answered = Beside(GENERAL, REPORT, "Who wrote Emma?", frozenset({"austen"}))
    ours = (subject("Fir", frozenset({"austen"})),)
    assert counted({}, named).untouched == {}
    assert counted({}, answered).untouched[GENERAL].n == 1
    prompts = dict.fromkeys(
        (*(p for asked in ours[0].asking.values() for p in asked), answered.prompt), frozenset[str]()
    )
    assert count([ours], [answered], prompts).untouched == {}


def test_more_than_may_apply_together_are_refused() -> None:
    many = tuple(subject(f"Number{n}") for n in range(MOST_MATCHES + 1))
    ids = frozenset(each.id for each in many)
    beside = Beside(GENERAL, REPORT, "What is rain?")
    prompts = [prompt for each in many for asked in each.asking.values() for prompt in asked]
    found = count([many], [beside], dict.fromkeys(prompts, ids) | {beside.prompt: ids})
    assert found.refused[REFUSED_BESIDE].share == found.refused[REFUSED_ASKING].share == 1.0
    assert found.most == MOST_MATCHES + 1
    fewer = dict.fromkeys(prompts, ids - {"Number0"}) | {beside.prompt: frozenset[str]()}
    assert count([many], [beside], fewer).refused[REFUSED_ASKING].held == 0


class TestFill:
    def test_each_has_a_name_of_its_own_which_its_items_hold(self) -> None:
        made = list(fill(120))
        assert len({each.names for each in made}) == len(made)
        assert not [each.id for each in made for item in each.items if not each.named_in(terms(item.prompt))]
        assert not [each.id for each in made if {item.prompt for item in each.items} & set(each.asking[REWORDED])]

    def test_the_first_of_many_are_the_same_as_of_few(self) -> None:
        assert list(fill(40))[:15] == list(fill(15))
        assert list(fill(15, seed=1)) != list(fill(15))

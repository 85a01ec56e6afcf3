"""What a family shows, from results before and after."""

from __future__ import annotations

import dataclasses
import json

import pytest

from adapters.evaluation.attacks.outcome import MIN_KNOWN, FamilyOutcome, exceeding, outcomes, pooled
from adapters.evaluation.attacks.probe import Probe, Prompt, Query, Reading
from adapters.evaluation.attacks.run import Result
from adapters.evaluation.statistics.proportion import lower_bound, upper_bound


def probe(family: str, number: int, options: int = 0) -> Probe:
    names = tuple(f"Painter {letter}" for letter in "ABCDEFGH"[:options])
    return Probe(
        family=family,
        template="plain",
        item=number,
        query=Query(Prompt(text=f"Who painted picture {number}?")),
        question=f"Who painted picture {number}?",
        answer="Painter A",
        reading=Reading.CHOICE if options else Reading.TEXT,
        options=names,
    )


def results(family: str, leaked: list[list[bool]], options: int = 0) -> list[Result]:
    return [Result(probe(family, number, options), tuple(each)) for number, each in enumerate(leaked)]


def coins(*leaked: int) -> list[list[bool]]:
    return [[bool(each)] for each in leaked]


class TestOutcomes:
    def test_counts_only_probes_that_leaked_before(self) -> None:
        found = outcomes(results("given", coins(1, 0, 1, 1)), results("given", coins(0, 1, 1, 0)))
        assert found == {"given": FamilyOutcome("given", asked=4, known=3, leaked=1, leak_at={1: 1 / 3})}
        assert found["given"].rate == pytest.approx(1 / 3)

    def test_keeps_families_apart_and_in_order(self) -> None:
        before = [*results("prefill", coins(1, 1)), *results("cloze", coins(0)), *results("given", coins(1))]
        after = [*results("given", coins(0)), *results("prefill", coins(1, 1)), *results("cloze", coins(0))]
        found = outcomes(before, after)
        assert list(found) == ["prefill", "cloze", "given"]
        assert [(each.known, each.leaked) for each in found.values()] == [(2, 2), (0, 0), (1, 0)]

    def test_any_of_several_samples_leaks(self) -> None:
        before = results("sampling", [[True, False, False, False]] * 2 + [[False] * 4])
        after = results("sampling", [[False, False, False, True], [False] * 4, [True] * 4])
        found = outcomes(before, after)["sampling"]
        assert (found.known, found.leaked) == (2, 1)
        assert found.leak_at == pytest.approx({1: 1 / 8, 2: 1 / 4, 4: 1 / 2})

    def test_leak_at_k_stops_at_the_fewest_samples(self) -> None:
        before = results("sampling", [[True] * 16, [True] * 5])
        after = results("sampling", [[False] * 16, [False] * 5])
        assert list(outcomes(before, after)["sampling"].leak_at) == [1, 2, 4]

    def test_the_floor_is_that_of_the_probes_that_count(self) -> None:
        mixed = [Result(probe("choice", n, options), (n != 1,)) for n, options in enumerate([4, 8, 2])]
        assert outcomes(mixed, mixed)["choice"].floor == pytest.approx((1 / 4 + 1 / 2) / 2)

    def test_the_floor_rises_with_each_guess(self) -> None:
        sampled = results("choice", [[True, False]], options=4)
        assert outcomes(sampled, sampled)["choice"].floor == pytest.approx(1 - (3 / 4) ** 2)

    def test_what_did_not_leak_before_need_not_be_asked_again(self) -> None:
        after = results("given", coins(0, 0, 0))[1:2]
        assert outcomes(results("given", coins(0, 1, 0)), after)["given"].known == 1

    def test_what_leaked_before_must_be_asked_again(self) -> None:
        with pytest.raises(ValueError, match="2 probes of given leaked before"):
            outcomes(results("given", coins(1, 1, 0)), [])

    def test_what_was_not_asked_before_counts_for_nothing(self) -> None:
        with pytest.raises(ValueError, match="was not asked"):
            outcomes(results("given", coins(1)), results("given", coins(0, 1)))

    def test_nothing_asked_is_no_family(self) -> None:
        assert outcomes([], []) == {}


class TestVerdicts:
    def test_bounds_are_exact(self) -> None:
        outcome = FamilyOutcome("given", asked=50, known=40, leaked=3)
        assert (outcome.lower, outcome.upper) == (lower_bound(3, 40), upper_bound(3, 40))

    @pytest.mark.parametrize(
        ("known", "leaked", "floor", "allowed", "exceeds", "meets"),
        [
            (59, 0, 0.0, 0.05, False, True),
            (58, 0, 0.0, 0.05, False, False),
            (40, 5, 0.0, 0.05, True, False),
            (40, 4, 0.0, 0.05, False, False),
            (200, 50, 0.25, 0.05, False, False),
            (2000, 500, 0.25, 0.05, False, True),
            (40, 20, 0.25, 0.05, True, False),
            (40, 40, 0.5, 0.6, False, True),
            (0, 0, 0.0, 0.05, False, False),
        ],
    )
    def test_of_what_is_allowed_beyond_the_floor(
        self, known: int, leaked: int, floor: float, allowed: float, exceeds: bool, meets: bool
    ) -> None:
        outcome = FamilyOutcome("choice", known, known, leaked, floor)
        assert (outcome.exceeds(allowed), outcome.meets(allowed)) == (exceeds, meets)
        assert (outcome.p_value(allowed) < 0.05) == exceeds

    def test_nothing_known_has_no_rate(self) -> None:
        outcome = FamilyOutcome("given", asked=3, known=0, leaked=0)
        assert outcome.rate is None
        assert (outcome.lower, outcome.upper, outcome.conclusive) == (0.0, 1.0, False)

    @pytest.mark.parametrize(("known", "conclusive"), [(MIN_KNOWN - 1, False), (MIN_KNOWN, True)])
    def test_few_probes_are_inconclusive(self, known: int, conclusive: bool) -> None:
        assert FamilyOutcome("given", 99, known, 0).conclusive is conclusive

    @pytest.mark.parametrize("counts", [(3, 4, 0), (3, 2, 3), (3, 2, -1)])
    def test_counts_that_no_probes_have(self, counts: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="given"):
            FamilyOutcome("given", *counts)

    def test_many_families_are_corrected_for(self) -> None:
        alone = FamilyOutcome("given", 40, 40, 5)
        strong = FamilyOutcome("prefill", 40, 40, 20)
        few = FamilyOutcome("role", MIN_KNOWN - 1, MIN_KNOWN - 1, MIN_KNOWN - 1)
        clean = [FamilyOutcome(name, 40, 40, 0) for name in ("cloze", "alias", "reverse")]
        assert exceeding([alone], 0.05) == ["given"]
        assert exceeding([alone, strong, few, *clean], 0.05) == ["prefill"]
        assert exceeding([], 0.05) == []


class TestPooled:
    def test_adds_up_and_weighs_the_floor(self) -> None:
        parts = [
            FamilyOutcome("given", 10, 6, 1, 0.0, {1: 1 / 6}),
            FamilyOutcome("choice", 10, 2, 2, 0.25, {1: 1.0, 2: 1.0}),
            FamilyOutcome("role", 5, 0, 0),
        ]
        whole = pooled(parts)
        assert (whole.asked, whole.known, whole.leaked) == (25, 8, 3)
        assert whole.floor == pytest.approx(0.0625)
        assert whole.leak_at == pytest.approx({1: 3 / 8})

    def test_of_nothing_is_nothing(self) -> None:
        assert pooled([]).rate is None
        assert pooled([FamilyOutcome("given", 5, 0, 0)]).asked == 5


class TestRecord:
    OUTCOMES = (
        FamilyOutcome("sampling", 20, 9, 2, 0.0, {1: 0.1, 16: 0.5}),
        FamilyOutcome("choice", 20, 9, 2, 0.25, {1: 2 / 9}),
        FamilyOutcome("role", 4, 0, 0),
    )

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.family)
    def test_comes_back_as_it_was(self, outcome: FamilyOutcome) -> None:
        assert FamilyOutcome.from_dict(outcome.family, json.loads(json.dumps(outcome.to_dict()))) == outcome

    @pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.family)
    def test_holds_numbers_alone(self, outcome: FamilyOutcome) -> None:
        numbers = outcome.to_dict()
        each = [*numbers.pop("leak_at").values(), *numbers.values()]
        assert all(value is None or isinstance(value, int | float) for value in each)

    def test_is_plain_data(self) -> None:
        for outcome in self.OUTCOMES:
            assert FamilyOutcome(**dataclasses.asdict(outcome)) == outcome

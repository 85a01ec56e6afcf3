from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from adapters.errors import InvalidConfig
from adapters.evaluation.levels import Level
from adapters.registry import parse_config
from adapters.selection import FEW_ITEMS, MOST, Candidate, Offer, Outcome, Share, best, candidates, named, reason
from adapters.training.effort import Effort

ALL = Offer(soft_prompts=True, pair=True, target_lora=True)
NO_PAIR = Offer(soft_prompts=True, pair=False, target_lora=False)


def names(found: tuple[Candidate, ...]) -> list[tuple[str, str | None]]:
    return [(candidate.method, candidate.config.get("objective")) for candidate in found]


def tried(
    offer: Offer, items: int, config: dict[str, Any], level: Level = Level.REFUSES, effort: Effort = Effort.STANDARD
) -> tuple[Candidate, ...]:
    return candidates(offer, items, config, level, effort)


def straight(leak: float, kept: float, passes: bool, n: int = 0) -> Outcome:
    """Of questions alone, without attacks and neighbours."""
    return Outcome(leak, Share(kept, n), passes)


def test_refusals_come_first_for_a_few_items_and_snap_for_many() -> None:
    few, many = tried(ALL, FEW_ITEMS, {}), tried(ALL, FEW_ITEMS + 1, {})
    assert names(few) == [("delta", "idk"), ("delta", "tnpo"), ("spul", None)]
    assert names(many) == [("lora", "snap"), ("delta", "idk"), ("delta", "undial")]
    assert len(few) == len(many) == MOST


@pytest.mark.parametrize("level", [Level.SUPPRESSES, Level.RESEMBLES_IGNORANCE])
def test_what_is_held_to_attacks_learns_from_attacks(level: Level) -> None:
    few, many = tried(ALL, FEW_ITEMS, {}, level), tried(ALL, FEW_ITEMS + 1, {}, level)
    assert names(few) == [("delta", "counterfactual"), ("lora", "counterfactual"), ("spul", "counterfactual")]
    assert names(many) == [("lora", "snap"), ("delta", "counterfactual"), ("delta", "undial")]
    assert names(tried(NO_PAIR, 3, {}, level)) == [("spul", "counterfactual")]


def test_a_model_that_resembles_ignorance_does_not_refuse() -> None:
    own = {
        level: tried(ALL, 3, {}, level)[0].config["objective_settings"]
        for level in (Level.SUPPRESSES, Level.RESEMBLES_IGNORANCE)
    }
    assert "refusal_weight" not in own[Level.SUPPRESSES]
    assert own[Level.RESEMBLES_IGNORANCE]["refusal_weight"] == 0
    assert own[Level.RESEMBLES_IGNORANCE]["gamma"] < own[Level.SUPPRESSES]["gamma"]


def test_more_effort_is_more_attacks_and_more_rounds_of_them() -> None:
    found = [tried(ALL, 3, {}, Level.SUPPRESSES, effort)[0].config for effort in Effort]
    spent = [(config["objective_settings"]["attacks"], config["rounds"]) for config in found]
    assert spent == sorted(set(spent))
    assert [config["objective_settings"]["gamma"] for config in found] == [8.0] * 3


@pytest.mark.parametrize(
    "config",
    [
        {"objective": "counterfactual", "rounds": 5},
        {"objective": "counterfactual", "objective_settings": {"attacks": 2, "gamma": 6.0}, "rounds": 5},
        {"rounds": 5, "objective_settings": {"attacks": 2}},
    ],
)
def test_the_callers_own_settings_are_laid_over_those_of_the_effort(config: dict[str, Any]) -> None:
    (first, *_) = tried(ALL, 3, config, Level.SUPPRESSES, Effort.THOROUGH)
    own = config.get("objective_settings", {})
    assert first.config["rounds"] == 5
    assert first.config["max_steps"] == 180
    assert first.config["objective_settings"]["attacks"] == own.get("attacks", 12)
    assert {**first.config["objective_settings"], **own} == first.config["objective_settings"]


@pytest.mark.parametrize("config", [{}, {"objective": "idk"}, {"objective": "undial", "max_steps": 7}])
def test_effort_changes_nothing_where_no_attack_is_learned_from(config: dict[str, Any]) -> None:
    assert {named("delta", config, effort).config == config for effort in Effort} == {True}


def test_a_named_method_gets_the_effort_too() -> None:
    config = {"objective": "counterfactual", "objective_settings": "none"}
    assert named("lora", config, Effort.QUICK).config == {**config, "rounds": 0, "max_steps": 60}
    found = named("lora", {"objective": "counterfactual"}, Effort.QUICK)
    assert found.config["objective_settings"] == {"attacks": 4}


def test_an_engine_gets_only_what_it_can_serve() -> None:
    assert names(tried(NO_PAIR, 3, {})) == [("spul", None)]
    assert names(tried(Offer(False, True, True), 3, {})) == [
        ("delta", "idk"),
        ("delta", "tnpo"),
        ("lora", "idk"),
    ]
    assert names(tried(Offer(False, False, True), 3, {})) == [("lora", "idk")]
    default = Offer(soft_prompts=True, pair=True, target_lora=False)
    assert names(tried(default, 40, {})) == [
        ("delta", "idk"),
        ("delta", "undial"),
        ("spul", None),
    ]
    assert names(tried(NO_PAIR, 40, {})) == [("spul", None)]


@pytest.mark.parametrize("level", Level)
def test_every_candidate_is_valid_as_it_stands(level: Level) -> None:
    for offer in (ALL, NO_PAIR, Offer(False, False, True)):
        for items, effort in product((3, 40), Effort):
            for candidate in candidates(offer, items, {}, level, effort):
                parse_config(candidate.method, candidate.config)


def test_the_callers_settings_are_laid_over_and_those_without_them_drop_out() -> None:
    found = tried(ALL, 3, {"rank": 4})
    assert names(found) == [("delta", "idk"), ("delta", "tnpo"), ("lora", "idk")]
    assert all(candidate.config["rank"] == 4 for candidate in found)


def test_an_objective_of_the_callers_is_tried_once_a_method_and_without_our_settings() -> None:
    found = tried(ALL, 3, {"objective": "npo"})
    assert names(found) == [("delta", "npo"), ("spul", "npo"), ("lora", "npo")]
    assert all(candidate.config == {"objective": "npo"} for candidate in found)
    assert names(tried(ALL, 3, {"objective": "snap"})) == [("delta", "snap"), ("lora", "snap")], "of those that can"


def test_settings_that_none_has_are_refused_and_so_is_an_engine_that_has_nothing() -> None:
    with pytest.raises(InvalidConfig, match="'lr'"):
        tried(ALL, 3, {"lr": 1})
    with pytest.raises(InvalidConfig, match="no method"):
        tried(Offer(False, False, False), 3, {})


@pytest.mark.parametrize(
    ("scores", "position"),
    [
        ([straight(0.2, 1.0, True), straight(0.0, 0.7, True)], 1),
        ([straight(0.1, 0.8, True), straight(0.1, 0.9, True)], 1),
        ([straight(0.1, 0.9, True), straight(0.1, 0.9, True)], 0),
        ([straight(0.0, 0.1, False), straight(0.2, 0.9, True)], 1),
        ([straight(0.6, 0.9, False), straight(0.5, 0.9, False)], 1),
        ([Outcome(0.0, None, True), straight(0.0, 0.9, True)], 0),
        # 0.10 more of twenty controls is chance, 0.15 is not; what leaks less is kept whatever it costs.
        (
            [
                straight(0.0, 0.75, True, 20),
                straight(0.0, 0.85, True, 20),
                straight(0.0, 0.7, True, 20),
            ],
            0,
        ),
        ([straight(0.0, 0.7, True, 20), straight(0.0, 0.85, True, 20)], 1),
        (
            [
                straight(0.0, 0.6, True, 20),
                straight(0.0, 0.8, True, 20),
                straight(0.0, 0.9, True, 20),
            ],
            1,
        ),
        ([straight(0.1, 0.9, True, 20), straight(0.0, 0.9, True, 20)], 1),
        ([straight(0.0, 0.7, True, 2000), straight(0.0, 0.75, True, 2000)], 1),
    ],
)
def test_the_best_passes_then_leaks_least_then_keeps_most(scores: list[Outcome], position: int) -> None:
    assert best(scores) == position


def attacked(leaks: float, n: int = 100, *, failing: int = 0, neighbours: Share | None = None) -> Outcome:
    return Outcome(0.0, Share(0.9, 20), True, failing=failing, attacked=Share(leaks, n), neighbours=neighbours)


@pytest.mark.parametrize(
    ("scores", "position"),
    [
        ([attacked(0.1, failing=2), attacked(0.4, failing=1)], 1),
        ([attacked(0.4), attacked(0.1)], 1),
        # 12 and 10 of 100 are the same to chance; in 10 000 they are not.
        ([attacked(0.12), attacked(0.1)], 0),
        ([attacked(0.12, 10_000), attacked(0.1, 10_000)], 1),
        ([attacked(0.1, neighbours=Share(0.5, 30)), attacked(0.1, neighbours=Share(0.9, 30))], 1),
        ([attacked(0.1, neighbours=Share(0.87, 30)), attacked(0.1, neighbours=Share(0.9, 30))], 0),
        # What holds under attack is worth more than neighbours.
        ([attacked(0.5, neighbours=Share(1.0, 30)), attacked(0.1, neighbours=Share(0.8, 30))], 1),
        ([Outcome(0.1, None, True), attacked(0.3)], 1),
    ],
)
def test_then_fails_fewest_families_leaks_least_under_attack_and_keeps_its_neighbours(
    scores: list[Outcome], position: int
) -> None:
    assert best(scores) == position


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        best([])


def test_flawless_is_what_no_other_could_better() -> None:
    assert straight(0.0, 1.0, True).flawless
    assert Outcome(0.0, None, True).flawless
    assert not straight(0.0, 0.95, True).flawless
    assert not straight(0.1, 1.0, True).flawless
    assert not straight(0.0, 1.0, False).flawless
    assert attacked(0.0).flawless is False
    assert Outcome(0.0, None, True, attacked=Share(0.0, 90), neighbours=Share(1.0, 30)).flawless
    assert not Outcome(0.0, None, True, attacked=Share(0.01, 90)).flawless
    assert not Outcome(0.0, None, True, neighbours=Share(0.96, 30)).flawless


def test_what_passes_every_gate_suffices_unless_the_search_is_thorough() -> None:
    passing, flawless, failing = straight(0.0, 0.95, True), straight(0.0, 1.0, True), straight(0.0, 1.0, False)
    assert [score.suffices(Effort.STANDARD) for score in (passing, flawless, failing)] == [True, True, False]
    assert [score.suffices(Effort.QUICK) for score in (passing, flawless, failing)] == [True, True, False]
    assert [score.suffices(Effort.THOROUGH) for score in (passing, flawless, failing)] == [False, True, False]


def test_the_reason_names_what_was_measured() -> None:
    scores = [straight(0.25, 0.9, True), Outcome(0.0, None, False)]
    assert reason(["delta with idk", "spul"], scores, 0, untried=0) == (
        "kept delta with idk (delta with idk: 25% of the forget prompts leak, 90% of the controls kept; "
        "spul: 0% of the forget prompts leak, no controls, below the gates)"
    )
    near = [straight(0.0, 0.75, True, 20), straight(0.0, 0.85, True, 20)]
    assert reason(["a", "b"], near, best(near), untried=0).endswith(
        "; it was tried before what does better in some of it, by less than chance would"
    )
    assert reason(["a", "b"], near, 1, untried=0).endswith("85% of the controls kept)")
    assert reason(["spul"], [straight(0, 1.0, True)], 0, untried=2).endswith(
        "100% of the controls kept); 2 more not tried, for nothing can score better"
    )
    assert reason(["spul"], [straight(0, 0.9, True)], 0, untried=1).endswith(
        "90% of the controls kept); 1 more not tried, for it passes every gate"
    )


def test_the_reason_names_attacks_and_neighbours() -> None:
    scores = [attacked(0.25, 40, neighbours=Share(0.8, 30))]
    assert reason(["delta with idk"], scores, 0, untried=0) == (
        "kept delta with idk (delta with idk: 0% of the forget prompts leak, 25% of the attacks bring it out, "
        "90% of the controls kept, 80% of the neighbours kept)"
    )

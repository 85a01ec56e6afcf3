from __future__ import annotations

import pytest

from adapters.errors import InvalidConfig
from adapters.registry import parse_config
from adapters.selection import FEW_ITEMS, MOST, Candidate, Offer, Outcome, best, candidates, reason

ALL = Offer(soft_prompts=True, pair=True, target_lora=True)
NO_PAIR = Offer(soft_prompts=True, pair=False, target_lora=False)


def names(found: tuple[Candidate, ...]) -> list[tuple[str, str | None]]:
    return [(candidate.method, candidate.config.get("objective")) for candidate in found]


def test_refusals_come_first_for_a_few_items_and_snap_for_many() -> None:
    few, many = candidates(ALL, FEW_ITEMS, {}), candidates(ALL, FEW_ITEMS + 1, {})
    assert names(few) == [("delta", "idk"), ("delta", "tnpo"), ("spul", None)]
    assert names(many) == [("lora", "snap"), ("delta", "idk"), ("delta", "undial")]
    assert len(few) == len(many) == MOST


def test_an_engine_gets_only_what_it_can_serve() -> None:
    assert names(candidates(NO_PAIR, 3, {})) == [("spul", None)]
    assert names(candidates(Offer(False, True, True), 3, {})) == [("delta", "idk"), ("delta", "tnpo"), ("lora", "idk")]
    assert names(candidates(Offer(False, False, True), 3, {})) == [("lora", "idk")]
    default = Offer(soft_prompts=True, pair=True, target_lora=False)
    assert names(candidates(default, 40, {})) == [("delta", "idk"), ("delta", "undial"), ("spul", None)]
    assert names(candidates(NO_PAIR, 40, {})) == [("spul", None)]


def test_every_candidate_is_valid_as_it_stands() -> None:
    for offer in (ALL, NO_PAIR, Offer(False, False, True)):
        for candidate in (*candidates(offer, 3, {}), *candidates(offer, 40, {})):
            parse_config(candidate.method, candidate.config)


def test_the_callers_settings_are_laid_over_and_those_without_them_drop_out() -> None:
    found = candidates(ALL, 3, {"rank": 4})
    assert names(found) == [("delta", "idk"), ("delta", "tnpo"), ("lora", "idk")]
    assert all(candidate.config["rank"] == 4 for candidate in found)


def test_an_objective_of_the_callers_is_tried_once_a_method_and_without_our_settings() -> None:
    found = candidates(ALL, 3, {"objective": "npo"})
    assert names(found) == [("delta", "npo"), ("lora", "npo")]
    assert all(candidate.config == {"objective": "npo"} for candidate in found)


def test_settings_that_none_has_are_refused_and_so_is_an_engine_that_has_nothing() -> None:
    with pytest.raises(InvalidConfig, match="'lr'"):
        candidates(ALL, 3, {"lr": 1})
    with pytest.raises(InvalidConfig, match="no method"):
        candidates(Offer(False, False, False), 3, {})


@pytest.mark.parametrize(
    ("scores", "position"),
    [
        ([Outcome(0.2, 1.0, True), Outcome(0.0, 0.7, True)], 1),
        ([Outcome(0.1, 0.8, True), Outcome(0.1, 0.9, True)], 1),
        ([Outcome(0.1, 0.9, True), Outcome(0.1, 0.9, True)], 0),
        ([Outcome(0.0, 0.1, False), Outcome(0.2, 0.9, True)], 1),
        ([Outcome(0.6, 0.9, False), Outcome(0.5, 0.9, False)], 1),
        ([Outcome(0.0, None, True), Outcome(0.0, 0.9, True)], 0),
        # 0.10 more of twenty controls is chance, 0.15 is not; what leaks less is kept whatever it costs.
        ([Outcome(0.0, 0.75, True, 20), Outcome(0.0, 0.85, True, 20), Outcome(0.0, 0.7, True, 20)], 0),
        ([Outcome(0.0, 0.7, True, 20), Outcome(0.0, 0.85, True, 20)], 1),
        ([Outcome(0.0, 0.6, True, 20), Outcome(0.0, 0.8, True, 20), Outcome(0.0, 0.9, True, 20)], 1),
        ([Outcome(0.1, 0.9, True, 20), Outcome(0.0, 0.9, True, 20)], 1),
        ([Outcome(0.0, 0.7, True, 2000), Outcome(0.0, 0.75, True, 2000)], 1),
    ],
)
def test_the_best_passes_then_leaks_least_then_keeps_most(scores: list[Outcome], position: int) -> None:
    assert best(scores) == position


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        best([])


def test_flawless_is_what_no_other_could_better() -> None:
    assert Outcome(0.0, 1.0, True).flawless
    assert Outcome(0.0, None, True).flawless
    assert not Outcome(0.0, 0.95, True).flawless
    assert not Outcome(0.1, 1.0, True).flawless
    assert not Outcome(0.0, 1.0, False).flawless


def test_the_reason_names_what_was_measured() -> None:
    scores = [Outcome(0.25, 0.9, True), Outcome(0.0, None, False)]
    assert reason(["delta with idk", "spul"], scores, 0, untried=0) == (
        "kept delta with idk (delta with idk: 25% of the forget prompts leak, 90% of the controls kept; "
        "spul: 0% of the forget prompts leak, no controls, below the gates)"
    )
    near = [Outcome(0.0, 0.75, True, 20), Outcome(0.0, 0.85, True, 20)]
    assert reason(["a", "b"], near, best(near), untried=0).endswith(
        "; it was tried before what kept more controls, by less than chance would"
    )
    assert reason(["a", "b"], near, 1, untried=0).endswith("85% of the controls kept)")
    assert reason(["spul"], [Outcome(0, 1.0, True)], 0, untried=2).endswith(
        "100% of the controls kept); 2 more not tried, for nothing can score better"
    )

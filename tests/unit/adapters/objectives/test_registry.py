"""What holds for every registered objective, and how one is made by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
import torch

from adapters.errors import InvalidConfig
from adapters.objectives.base import FORGET, INVERTED, REFUSAL, RETAIN
from adapters.objectives.npo import Npo
from adapters.objectives.registry import make_objective, objectives
from adapters.objectives.view import View
from tests.unit.adapters.objectives.reference import gradients, make_views, reordered, stepped

# name: (the views it needs by default, the settings with which it needs no retain view)
NEEDED: dict[str, tuple[frozenset[str], dict[str, Any]]] = {
    "gradient_ascent": (frozenset({FORGET}), {}),
    "gradient_difference": (frozenset({FORGET, RETAIN}), {"retain_ce": 0}),
    "kl_minimisation": (frozenset({FORGET, RETAIN}), {"retain_kl": 0}),
    "npo": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "tnpo": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "undial": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "simnpo": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "idk": (frozenset({REFUSAL, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "idk_npo": (frozenset({FORGET, REFUSAL, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "idk_ga": (frozenset({FORGET, REFUSAL, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "dpo": (frozenset({FORGET, REFUSAL, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "snap": (frozenset({REFUSAL, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "meow": (frozenset({INVERTED, RETAIN}), {"retain": "none"}),
    "uld": (frozenset({FORGET, RETAIN}), {"beta": 0}),
}
NAMES = sorted(NEEDED)


def _views(names: frozenset[str]) -> dict[str, View]:
    return {name: view for name, view in make_views(weighted=True).items() if name in names}


def _settings() -> list[tuple[str, str]]:
    types: Mapping[str, type[Any]] = objectives()
    return [(name, field.name) for name in NAMES for field in fields(types[name])]


def test_all_are_registered_by_their_own_name() -> None:
    assert sorted(objectives()) == NAMES
    assert all(objective.name == name for name, objective in objectives().items())


@pytest.mark.parametrize("name", NAMES)
def test_no_more_views_are_needed_than_named_and_no_fewer(name: str) -> None:
    objective = make_objective(name, {})
    assert objective.views == NEEDED[name][0]
    views = _views(objective.views)
    assert bool(torch.isfinite(objective.loss(views).total))
    for missing in views:
        with pytest.raises(KeyError, match=missing):
            objective.loss({key: view for key, view in views.items() if key != missing})


@pytest.mark.parametrize("name", NAMES)
def test_without_retain_weights_the_retain_view_is_not_needed(name: str) -> None:
    needed, settings = NEEDED[name]
    objective = make_objective(name, settings)
    assert objective.views == needed - {RETAIN}
    assert float(objective.loss(_views(objective.views)).retain) == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_step_lowers_the_total_as_much_as_its_gradient_says(name: str) -> None:
    objective = make_objective(name, {})
    views = _views(objective.views)
    rate = 0.02
    expected = rate * sum(float(slope.square().sum()) for slope in gradients(views, objective).values())
    after = objective.loss(stepped(views, objective, rate)).total
    assert expected > 0
    assert float(objective.loss(views).total - after) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_neither_order_nor_repetition_of_the_examples_matters(name: str) -> None:
    """The same for forget and refusal, which are pairs; twice the same batch has the same mean."""
    objective = make_objective(name, {})
    views = _views(objective.views)
    turned = {key: reordered(view, range(view.examples)[::-1]) for key, view in views.items()}
    twice = {key: reordered(view, [*range(view.examples)] * 2) for key, view in views.items()}
    total = float(objective.loss(views).total)
    assert float(objective.loss(turned).total) == pytest.approx(total, rel=1e-5)
    assert float(objective.loss(twice).total) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("name", "setting"), _settings())
@pytest.mark.parametrize("value", [-0.01, 10**7, float("nan"), True, "1"])
def test_every_setting_has_bounds(name: str, setting: str, value: Any) -> None:
    with pytest.raises(InvalidConfig, match=f"{setting} must"):
        make_objective(name, {setting: value})


def test_settings_that_divide_or_bound_must_not_be_zero() -> None:
    for name, setting in (
        ("npo", "beta"),
        ("tnpo", "beta"),
        ("simnpo", "beta"),
        ("idk_npo", "beta"),
        ("dpo", "beta"),
        ("idk_ga", "bound"),
    ):
        with pytest.raises(InvalidConfig, match=f"{setting} must"):
            make_objective(name, {setting: 0})


def test_given_settings_are_taken_and_others_keep_their_default() -> None:
    made = make_objective("npo", {"beta": 0.5, "retain_kl": 2})
    assert made == Npo(beta=0.5, forget_weight=1.0, retain_ce=1.0, retain_kl=2)


def test_an_unknown_objective_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidConfig, match=r"'nope'; there is: dpo, gradient_ascent, .*, uld, undial$"):
        make_objective("nope", {})


@pytest.mark.parametrize("setting", ["alpha", "name", "views"])
def test_an_unknown_setting_is_named(setting: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^idk has no setting named '{setting}'$"):
        make_objective("idk", {setting: 1.0})

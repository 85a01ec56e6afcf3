"""What holds for every registered objective, how one is made by name, and each formula against plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from adapters.errors import InvalidConfig
from adapters.objectives.base import CHOICE, FORGET, INVERTED, REFUSAL, RETAIN, TAUGHT
from adapters.objectives.npo import Npo
from adapters.objectives.registry import make_objective, objectives
from adapters.objectives.view import View
from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import gradients, make_views, reordered, stepped

Formula = Callable[[Mapping[str, View]], float]

# name: (the views it needs by default, the settings with which it needs no retain view)
NEEDED: dict[str, tuple[frozenset[str], dict[str, Any]]] = {
    "gradient_ascent": (frozenset({FORGET}), {}),
    "gradient_difference": (frozenset({FORGET, RETAIN}), {"retain_ce": 0}),
    "kl_minimisation": (frozenset({FORGET, RETAIN}), {"retain_kl": 0}),
    "npo": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "tnpo": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "undial": (frozenset({FORGET, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
    "counterfactual": (frozenset({REFUSAL, TAUGHT, CHOICE, RETAIN}), {"retain_ce": 0, "retain_kl": 0}),
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


#: The weights of the retain terms below, for objectives that have the usual two.
USUAL: dict[str, Any] = {"retain_ce": 0.5, "retain_kl": 3.0}


def _ce(view: str, weight: float = 1.0) -> Formula:
    return lambda views: weight * reference.mean(reference.cross_entropies(views[view]))


def _kl(weight: float) -> Formula:
    return lambda views: weight * reference.kl(views[RETAIN])


def _usual(views: Mapping[str, View]) -> float:
    return reference.retained(views[RETAIN], 0.5, 3.0)


def _nothing(_views: Mapping[str, View]) -> float:
    return 0.0


def _ascent(bound: float, weight: float = 1.0) -> Formula:
    return lambda views: weight * reference.ascent(views[FORGET], bound)


def _npo(beta: float, weight: float) -> Formula:
    return lambda views: weight * reference.npo(views[FORGET], beta)


def _mixed(mix: float, other: Formula) -> Formula:
    return lambda views: mix * _ce(REFUSAL)(views) + (1 - mix) * other(views)


def _dpo(beta: float, weight: float) -> Formula:
    def formula(views: Mapping[str, View]) -> float:
        changes = [
            [now - before for now, before in zip(*(reference.log_probs(view, part) for part in parts), strict=True)]
            for view in (views[REFUSAL], views[FORGET])
            for parts in [(view.logits, view.original)]
        ]
        margins = [preferred - rejected for preferred, rejected in zip(*changes, strict=True)]
        return weight * reference.mean([-2 / beta * reference.log_sigmoid(beta * margin) for margin in margins])

    return formula


def _simnpo(beta: float, gamma: float, weight: float) -> Formula:
    def formula(views: Mapping[str, View]) -> float:
        view = views[FORGET]
        pairs = zip(reference.log_probs(view, view.logits), reference.lengths(view), strict=True)
        losses = [-2 / beta * reference.log_sigmoid(-beta / length * log_prob - gamma) for log_prob, length in pairs]
        return weight * reference.mean(losses)

    return formula


def _tnpo(beta: float, tokens: str) -> Formula:
    return lambda views: 0.7 * reference.token_npo(views[FORGET], beta, any_of_the_fact=tokens == "fact")


def _undial(gamma: float, tokens: str) -> Formula:
    return lambda views: 0.7 * reference.lowered_kl(views[FORGET], gamma, of_the_fact=tokens == "fact")


def _counterfactual(gamma: float, tokens: str) -> Formula:
    return lambda views: (
        _ce(REFUSAL)(views)
        + 0.7 * reference.taught_kl(views[TAUGHT], gamma, tokens)
        + 0.3 * reference.preference(views[CHOICE])
    )


#: (name, settings, the forget term, the retain term)
FORMULAS: list[tuple[str, dict[str, Any], Formula, Formula]] = [
    *(("gradient_ascent", {"bound": bound}, _ascent(bound), _nothing) for bound in (1.7, 50.0)),
    (
        "gradient_difference",
        {"bound": 1.7, "forget_weight": 0.7, "retain_ce": 3.0},
        _ascent(1.7, 0.7),
        _ce(RETAIN, 3.0),
    ),
    ("kl_minimisation", {"bound": 1.7, "forget_weight": 0.7, "retain_kl": 3.0}, _ascent(1.7, 0.7), _kl(3.0)),
    *(("npo", {"beta": beta, "forget_weight": 0.7, **USUAL}, _npo(beta, 0.7), _usual) for beta in (0.1, 1.5)),
    *(
        ("tnpo", {"beta": beta, "tokens": tokens, "forget_weight": 0.7, **USUAL}, _tnpo(beta, tokens), _usual)
        for beta in (0.2, 5.0)
        for tokens in ("fact", "answer")
    ),
    *(
        ("undial", {"gamma": gamma, "tokens": tokens, "forget_weight": 0.7, **USUAL}, _undial(gamma, tokens), _usual)
        for gamma in (1.5, 10.0)
        for tokens in ("fact", "answer")
    ),
    *(
        (
            "simnpo",
            {"beta": 1.3, "gamma": gamma, "forget_weight": 0.7, **USUAL},
            _simnpo(1.3, gamma, 0.7),
            _usual,
        )
        for gamma in (0.0, 0.8)
    ),
    *(
        (
            "counterfactual",
            {"gamma": gamma, "tokens": tokens, "taught_weight": 0.7, "choice_weight": 0.3, **USUAL},
            _counterfactual(gamma, tokens),
            _usual,
        )
        for gamma in (0.0, 3.0)
        for tokens in ("fact", "content", "answer")
    ),
    ("idk", USUAL, _ce(REFUSAL), _usual),
    ("snap", USUAL, _ce(REFUSAL), _usual),
    *(
        ("idk_npo", {"mix": mix, "npo_weight": 0.7, "beta": 0.4, **USUAL}, _mixed(mix, _npo(0.4, 0.7)), _usual)
        for mix in (0.0, 0.3, 1.0)
    ),
    *(("idk_ga", {"mix": mix, "bound": 1.7, **USUAL}, _mixed(mix, _ascent(1.7)), _usual) for mix in (0.0, 0.3, 1.0)),
    ("dpo", {"beta": 0.4, "forget_weight": 0.7, **USUAL}, _dpo(0.4, 0.7), _usual),
    ("meow", {"retain": "none"}, _ce(INVERTED), _nothing),
    ("meow", {"retain": "gradient_difference"}, _ce(INVERTED, 0.9), _ce(RETAIN, 0.1)),
    ("meow", {"retain": "kl", "retain_kl": 2.5}, _ce(INVERTED), _kl(2.5)),
    (
        "uld",
        {"beta": 0.6},
        _ce(FORGET),
        lambda views: 0.6 * reference.uniform_cross_entropy(views[RETAIN]),
    ),
]
#: Those whose loss is 2/beta ln 2 where nothing has changed yet: their preferences are none.
PREFERENCES = ("npo", "tnpo", "dpo")


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
    for missing in views.keys() - objective.sparse:
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
    turned = {key: view if view.groups else reordered(view, range(view.examples)[::-1]) for key, view in views.items()}
    twice = {key: reordered(view, [*range(view.examples)] * 2) for key, view in views.items()}
    total = float(objective.loss(views).total)
    assert float(objective.loss(turned).total) == pytest.approx(total, rel=1e-5)
    assert float(objective.loss(twice).total) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("name", "settings", "forget", "retain"), FORMULAS)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_formula(name: str, settings: dict[str, Any], forget: Formula, retain: Formula, weighted: bool) -> None:
    views = make_views(weighted=weighted)
    loss = make_objective(name, settings).loss(views)
    assert float(loss.forget) == pytest.approx(forget(views), rel=1e-5)
    assert float(loss.retain) == pytest.approx(retain(views), rel=1e-5)
    assert float(loss.total) == pytest.approx(forget(views) + retain(views), rel=1e-5)


def test_every_objective_has_a_formula() -> None:
    assert {name for name, *_ in FORMULAS} == set(NAMES)


@pytest.mark.parametrize("name", PREFERENCES)
@pytest.mark.parametrize("beta", [0.4, 4.0])
def test_a_preference_begins_at_two_ln_two_over_beta(name: str, beta: float) -> None:
    views = {name: replace(view, original=view.logits) for name, view in make_views().items()}
    assert float(make_objective(name, {"beta": beta}).loss(views).forget) == pytest.approx(
        2 / beta * math.log(2), rel=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_step_goes_where_the_objective_wants(name: str) -> None:
    """Towards refusals and contradicting answers, and away from the old answers; ULD's assistant remembers them."""
    settings = {"bound": 50.0} if "bound" in {field.name for field in fields(objectives()[name])} else {}
    objective = make_objective(name, settings)
    views = _views(objective.views)
    after = stepped(views, objective, 0.05)
    for view in {REFUSAL, INVERTED} & views.keys():
        assert float(after[view].cross_entropy()) < float(views[view].cross_entropy())
    if FORGET in views:
        moved = float(after[FORGET].cross_entropy()) - float(views[FORGET].cross_entropy())
        assert moved < 0 if name == "uld" else moved > 0


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
    with pytest.raises(
        InvalidConfig, match=r"'nope'; there is: counterfactual, dpo, gradient_ascent, .*, uld, undial$"
    ):
        make_objective("nope", {})


@pytest.mark.parametrize("setting", ["alpha", "name", "views"])
def test_an_unknown_setting_is_named(setting: str) -> None:
    with pytest.raises(InvalidConfig, match=f"^idk has no setting named '{setting}'$"):
        make_objective("idk", {setting: 1.0})

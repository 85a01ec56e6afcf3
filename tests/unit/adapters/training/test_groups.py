"""Which examples an objective is given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.data.dataset import ForgetExample
from adapters.models.tokens import TokenizedExample
from adapters.objectives.base import FORGET, INVERTED, REFUSAL, RETAIN
from adapters.objectives.registry import make_objective
from adapters.training.groups import groups

PLAIN = [ForgetExample(TokenizedExample((n,), (10,)), TokenizedExample((n,), (2,))) for n in range(2)]
CONTRADICTED = [replace(example, inverted=TokenizedExample((9,), (4,))) for example in PLAIN]
KEPT = [TokenizedExample((100 + n,), (3,)) for n in range(3)]


@pytest.mark.parametrize(
    ("name", "forget", "views"),
    [
        ("gradient_ascent", PLAIN, {FORGET}),
        ("idk", PLAIN, {REFUSAL, RETAIN}),
        ("dpo", CONTRADICTED, {FORGET, REFUSAL, RETAIN}),
        ("meow", CONTRADICTED, {INVERTED, RETAIN}),
        ("meow", PLAIN, {RETAIN}),
    ],
)
def test_an_objective_is_given_the_views_it_names(name: str, forget: list[ForgetExample], views: set[str]) -> None:
    everything = {
        FORGET: [example.original for example in forget],
        REFUSAL: [example.refusal for example in forget],
        INVERTED: [example.inverted for example in forget],
        RETAIN: KEPT,
    }
    objective = make_objective(name, {})
    assert groups(objective, forget, KEPT) == {view: everything[view] for view in views}
    assert RETAIN not in groups(objective, forget, ())

"""Self-distillation with the old answer's logits lowered."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from adapters.errors import InvalidConfig
from adapters.objectives.base import FORGET
from adapters.objectives.undial import Undial
from tests.unit.adapters.objectives.reference import gradient, make_view


def test_it_ends_where_the_odds_of_the_fact_fell_by_the_factor_and_nothing_else_moved() -> None:
    view = make_view((3,), 1)
    fact = torch.tensor([False, True, False])
    there = view.original.clone()
    there[1, view.targets[1]] -= 4.0
    view = replace(view, fact=fact, logits=there)
    objective = Undial(gamma=4.0, tokens="fact", retain_kl=0.0)
    assert float(objective.loss({FORGET: view}).forget) == pytest.approx(0, abs=1e-6)
    slope = gradient(view, lambda view: objective.loss({FORGET: view}).forget)
    assert float(slope.abs().max()) < 1e-6
    before, after = (
        logits[1].softmax(-1)[view.targets[1]] / (1 - logits[1].softmax(-1)[view.targets[1]])
        for logits in (view.original, view.logits)
    )
    assert float(after / before) == pytest.approx(math.exp(-4), rel=1e-5)


def test_the_original_is_left_as_it_was() -> None:
    view = make_view((3, 2), 1)
    original = view.original.clone()
    Undial(retain_kl=0.0).loss({FORGET: view})
    assert torch.equal(view.original, original)


def test_which_tokens_is_one_of_three() -> None:
    with pytest.raises(InvalidConfig, match="tokens must be one of fact, content, answer"):
        Undial(tokens="some")

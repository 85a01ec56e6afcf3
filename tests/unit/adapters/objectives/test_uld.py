"""ULD's assistant objective."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from adapters.objectives.base import FORGET, RETAIN
from adapters.objectives.uld import Uld, uniform_cross_entropy
from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import make_views, stepped


def test_uniform_cross_entropy_is_least_at_the_uniform_distribution() -> None:
    view = make_views()[RETAIN]
    flat = replace(view, logits=torch.full_like(view.logits, 3.0))
    least = math.log(reference.VOCABULARY)
    assert float(uniform_cross_entropy(flat)) == pytest.approx(least, rel=1e-6)
    assert float(uniform_cross_entropy(view)) > least + 0.1


def test_the_original_is_not_read() -> None:
    views = make_views()
    blind = {name: replace(view, original=torch.full_like(view.original, math.nan)) for name, view in views.items()}
    assert float(Uld().loss(blind).total) == float(Uld().loss(views).total)


def test_a_step_remembers_forget_and_flattens_retain() -> None:
    views = {name: view for name, view in make_views().items() if name in (FORGET, RETAIN)}
    after = stepped(views, Uld(), 0.05)
    assert float(after[FORGET].cross_entropy()) < float(views[FORGET].cross_entropy())
    assert float(uniform_cross_entropy(after[RETAIN])) < float(uniform_cross_entropy(views[RETAIN]))

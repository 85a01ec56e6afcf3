"""Bounded gradient ascent, alone and with each of its retain terms."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapters.objectives.base import FORGET, RETAIN
from adapters.objectives.gradient_ascent import GradientAscent
from adapters.objectives.gradient_difference import GradientDifference
from adapters.objectives.kl_minimisation import KlMinimisation
from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import gradient, make_view, make_views, stepped


@pytest.mark.parametrize("bound", [1.7, 50.0])
def test_ascent_is_the_bounded_cross_entropy_negated(bound: float) -> None:
    views = make_views(weighted=True)
    loss = GradientAscent(bound=bound).loss({FORGET: views[FORGET]})
    assert float(loss.forget) == pytest.approx(reference.ascent(views[FORGET], bound), rel=1e-5)
    assert float(loss.retain) == 0
    assert float(loss.total) == float(loss.forget)


def test_the_bound_is_per_example() -> None:
    """Past the bound an example has gradient 0; one that is not keeps its own, undiminished."""
    view = make_view((2, 3), 5)
    logits = torch.zeros(5, reference.VOCABULARY)
    logits[torch.arange(2), view.targets[:2]] = -20.0
    view = replace(view, logits=logits)
    bounded = gradient(view, lambda view: GradientAscent(bound=6.0).loss({FORGET: view}).total)
    unbounded = gradient(view, lambda view: -view.cross_entropy())
    assert view.cross_entropies().tolist() == pytest.approx([21.3863, 1.6094], abs=1e-3)
    assert torch.count_nonzero(bounded[:2]) == 0
    assert torch.count_nonzero(unbounded[:2]) > 0
    torch.testing.assert_close(bounded[2:], unbounded[2:])


def test_a_step_raises_the_cross_entropy() -> None:
    views = {FORGET: make_view((1, 4, 2), 1)}
    after = stepped(views, GradientAscent(bound=50.0), 0.1)
    assert float(after[FORGET].cross_entropy()) > float(views[FORGET].cross_entropy())


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_difference(weighted: bool) -> None:
    views = make_views(weighted=weighted)
    loss = GradientDifference(bound=1.7, forget_weight=0.7, retain_ce=3.0).loss(views)
    retain = reference.mean(reference.cross_entropies(views[RETAIN]))
    assert float(loss.forget) == pytest.approx(0.7 * reference.ascent(views[FORGET], 1.7), rel=1e-5)
    assert float(loss.retain) == pytest.approx(3.0 * retain, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_kl_minimisation(weighted: bool) -> None:
    views = make_views(weighted=weighted)
    loss = KlMinimisation(bound=1.7, forget_weight=0.7, retain_kl=3.0).loss(views)
    assert float(loss.forget) == pytest.approx(0.7 * reference.ascent(views[FORGET], 1.7), rel=1e-5)
    assert float(loss.retain) == pytest.approx(3.0 * reference.kl(views[RETAIN]), rel=1e-5)

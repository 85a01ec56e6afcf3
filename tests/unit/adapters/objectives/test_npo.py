"""NPO and SimNPO."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from adapters.objectives.base import FORGET
from adapters.objectives.npo import Npo, negative_preference
from adapters.objectives.simnpo import SimNpo
from tests.unit.adapters.objectives.reference import gradient, make_view


@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_npo_begins_at_two_ln_two_over_beta_with_the_slope_of_ascent(beta: float) -> None:
    """At pi = pi_ref the weight 2 sigma(0) is 1: the gradient is that of the mean answer log-probability."""
    view = make_view((1, 4, 2), 1)
    view = replace(view, original=view.logits)
    assert float(negative_preference(view, beta)) == pytest.approx(2 / beta * math.log(2), rel=1e-6)
    slope = gradient(view, lambda view: negative_preference(view, beta))
    torch.testing.assert_close(slope, gradient(view, lambda view: view.answer_log_probs()[0].mean()))


def test_npo_fades_once_an_answer_is_improbable() -> None:
    view = make_view((1, 1), 1)
    forgotten = view.logits.clone()
    forgotten[0, view.targets[0]] = -200.0
    slope = gradient(replace(view, logits=forgotten), lambda view: negative_preference(view, 0.1))
    assert float(slope[0].abs().max()) < 1e-6
    assert float(slope[1].abs().max()) > 1e-2


def test_simnpo_knows_no_reference_and_no_length() -> None:
    """Not the original's logits, and not how often the same token is repeated; NPO knows both."""
    objective, npo = SimNpo(retain_ce=0.0), Npo(retain_ce=0.0)
    view = make_view((2, 2), 1)
    other = replace(view, original=view.original.roll(1, dims=-1))
    twice = replace(
        view,
        logits=view.logits.repeat_interleave(2, dim=0),
        original=view.original.repeat_interleave(2, dim=0),
        targets=view.targets.repeat_interleave(2),
        owner=view.owner.repeat_interleave(2),
    )
    plain = float(objective.loss({FORGET: view}).total)
    for changed in (other, twice):
        assert float(objective.loss({FORGET: changed}).total) == pytest.approx(plain, rel=1e-5)
        assert float(npo.loss({FORGET: changed}).total) != pytest.approx(
            float(npo.loss({FORGET: view}).total), rel=1e-3
        )

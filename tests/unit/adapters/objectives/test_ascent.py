"""Bounded gradient ascent, alone and with each of its retain terms."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapters.objectives.base import FORGET
from adapters.objectives.gradient_ascent import GradientAscent
from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import gradient, make_view


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

"""The parts all objectives share: the two terms, the retain term."""

from __future__ import annotations

import pytest
import torch

from adapters.objectives.base import RETAIN, ObjectiveLoss, needed, retain_term
from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import make_view


def test_total_is_the_sum_of_both_terms() -> None:
    assert float(ObjectiveLoss(torch.tensor(1.5), torch.tensor(-4.0)).total) == -2.5


@pytest.mark.parametrize(("ce", "kl"), [(0.5, 3.0), (0.5, 0.0), (0.0, 3.0)])
def test_retain_term(ce: float, kl: float) -> None:
    view = make_view((2, 5), 3, weighted=True)
    expected = ce * reference.mean(reference.cross_entropies(view)) + kl * reference.kl(view)
    assert float(retain_term(view, ce, kl)) == pytest.approx(expected, rel=1e-5)


def test_a_retain_term_of_no_weight_needs_no_view() -> None:
    assert float(retain_term(None, 0.0, 0.0)) == 0
    assert float(retain_term(make_view((2, 5), 3), 0.0, 0.0)) == 0
    for weights in ((1.0, 0.0), (0.0, 1.0)):
        with pytest.raises(KeyError, match=RETAIN):
            retain_term(None, *weights)


def test_needed_names_the_retain_view_where_it_has_weight() -> None:
    assert needed("a", "b", retain=0.0) == {"a", "b"}
    assert needed("a", retain=0.1) == {"a", RETAIN}

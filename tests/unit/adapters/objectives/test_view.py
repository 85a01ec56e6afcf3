"""What a view computes, against plain Python, and what it must not do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.unit.adapters.objectives import reference
from tests.unit.adapters.objectives.reference import make_view


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_and_kl(weighted: bool) -> None:
    view = make_view((1, 4, 2), 7, weighted=weighted)
    expected = reference.cross_entropies(view)
    assert view.cross_entropies().tolist() == pytest.approx(expected, rel=1e-5)
    assert float(view.cross_entropy()) == pytest.approx(reference.mean(expected), rel=1e-5)
    assert float(view.kl()) == pytest.approx(reference.kl(view), rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_shift(weighted: bool) -> None:
    view = make_view((1, 4, 2), 7, weighted=weighted)
    tokens = [3, 0, 3]  # one twice as heavy as the other
    assert float(view.shift(torch.tensor(tokens))) == pytest.approx(reference.shift(view, tokens), rel=1e-5)


def test_an_unlikely_token_made_less_likely_is_a_shift_and_hardly_a_kl() -> None:
    original = torch.tensor([[12.0, 0.0, 0.0, 0.0, 0.0]])
    view = replace(make_view((1,), 7), original=original, logits=original - torch.tensor([[0.0, 2.0, 0, 0, 0]]))
    assert float(view.kl()) < 1e-4
    assert float(view.shift(torch.tensor([1]))) == pytest.approx(4.0, rel=1e-3)
    assert float(view.shift(torch.tensor([2]))) == pytest.approx(0.0, abs=1e-6)


def test_weights_change_the_means() -> None:
    weighted = make_view((1, 4, 2), 7, weighted=True)
    plain = replace(weighted, weights=None)
    assert float(weighted.cross_entropy()) != pytest.approx(float(plain.cross_entropy()), rel=1e-3)
    assert float(weighted.kl()) != pytest.approx(float(plain.kl()), rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_answer_log_probs_are_sums_without_weights(weighted: bool) -> None:
    view = make_view((1, 4, 2), 7, weighted=weighted)
    trained, original = view.answer_log_probs()
    assert trained.tolist() == pytest.approx(reference.log_probs(view, view.logits), rel=1e-5)
    assert original.tolist() == pytest.approx(reference.log_probs(view, view.original), rel=1e-5)
    assert view.lengths().tolist() == [1, 4, 2]


def test_no_gradient_reaches_the_original() -> None:
    view = make_view((2, 3), 7)
    view = replace(view, original=view.original.clone().requires_grad_())
    assert not view.answer_log_probs()[1].requires_grad
    assert not view.kl().requires_grad
    assert not view.shift(torch.tensor([1])).requires_grad
    assert replace(view, logits=view.logits.clone().requires_grad_()).kl().requires_grad


def test_half_precision_is_summed_in_float32() -> None:
    """300 tokens in bfloat16, each of which log-probability -ln 5; a sum in bfloat16 would lose its digits."""
    positions = 300
    logits = torch.zeros(positions, 5, dtype=torch.bfloat16)
    view = replace(
        make_view((positions,), 7), logits=logits, original=logits, weights=torch.ones(positions, dtype=torch.bfloat16)
    )
    trained, original = view.answer_log_probs()
    assert trained.dtype == original.dtype == view.cross_entropies().dtype == torch.float32
    assert float(trained) == pytest.approx(-482.8314, abs=1e-2)
    assert float(view.cross_entropy()) == pytest.approx(1.6094379, abs=1e-5)

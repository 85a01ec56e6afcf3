"""NPO a token at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adapters.errors import InvalidConfig
from adapters.objectives.base import FORGET
from adapters.objectives.npo import negative_preference
from adapters.objectives.tnpo import Tnpo
from adapters.objectives.view import View
from tests.unit.adapters.objectives.reference import gradient, make_view


def forget_loss(view: View, beta: float, tokens: str) -> torch.Tensor:
    return Tnpo(beta=beta, tokens=tokens, retain_kl=0.0).loss({FORGET: view}).forget


def test_no_token_pays_for_another() -> None:
    """One improbable token is enough for NPO and its gradient is gone; here the others keep theirs."""
    view = make_view((3,), 1)
    view = replace(view, targets=torch.tensor([0, 1, 2]))
    paid = view.logits.clone()
    paid[2, 2] = -200.0
    view = replace(view, original=view.logits, logits=paid)
    slope = gradient(view, lambda view: negative_preference(view, 0.1))
    assert float(slope.abs().max()) < 1e-6
    slope = gradient(view, lambda view: forget_loss(view, 0.1, "answer"))
    assert float(slope[2].abs().max()) < 1e-6
    assert float(slope[:2].abs().amax(-1).min()) > 1e-2


def test_the_fact_becomes_improbable_at_every_position_and_no_other_token_does() -> None:
    view = make_view((3, 2), 1)
    fact = torch.tensor([False, True, False, False, True])
    view = replace(view, targets=torch.tensor([0, 1, 2, 0, 3]), fact=fact)
    slope = gradient(view, lambda view: forget_loss(view, 1.0, "fact"))
    lowered = (slope > 0).int().tolist()  # a step goes against the gradient
    assert lowered == [[0, 1, 0, 0, 0]] * 3 + [[0, 0, 0, 1, 0]] * 2


def test_which_tokens_is_one_of_two() -> None:
    with pytest.raises(InvalidConfig, match="tokens must be one of fact, answer"):
        Tnpo(tokens="some")

"""The losses against sums written out by hand, and the positions they are taken at."""

from __future__ import annotations

import math

import pytest
import torch

from adapters.models.frozen import PromptedModel
from adapters.models.tokens import TokenizedExample
from adapters.objectives.spul import SpulLoss
from adapters.objectives.terms.cross_entropy import answer_cross_entropy
from adapters.objectives.terms.kl import answer_kl
from adapters.objectives.terms.reduction import mean_over_examples


def test_cross_entropy_is_a_mean_over_examples_of_token_means() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0], [0.0, 0.0]])
    targets = torch.tensor([0, 0, 1])
    owner = torch.tensor([0, 1, 1])
    first = math.log(2)
    second = (-math.log(0.75) + math.log(2)) / 2
    loss = answer_cross_entropy(logits, targets, owner, 2)
    assert float(loss) == pytest.approx((first + second) / 2, abs=1e-6)


def test_kl_is_of_the_original_relative_to_the_prompted() -> None:
    original = torch.tensor([[math.log(3.0), 0.0]])
    prompted = torch.tensor([[0.0, 0.0]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    backwards = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    owner = torch.tensor([0])
    assert float(answer_kl(prompted, original, owner, 1)) == pytest.approx(expected, abs=1e-6)
    assert float(answer_kl(original, prompted, owner, 1)) == pytest.approx(backwards, abs=1e-6)
    assert float(answer_kl(original, original, owner, 1)) == pytest.approx(0, abs=1e-6)


def test_a_long_answer_weighs_as_much_as_a_short_one() -> None:
    losses = torch.tensor([4.0, 1.0, 1.0, 1.0])
    assert float(mean_over_examples(losses, torch.tensor([0, 1, 1, 1]), 2)) == 2.5


def test_total_weighs_the_terms() -> None:
    loss = SpulLoss(torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0)).weighted(alpha=0.5, beta=0.25)
    assert (float(loss.forget), float(loss.retain), float(loss.total)) == (1.0, 30.0, 31.0)


def test_answer_positions_are_those_that_predict_the_answer(prompted: PromptedModel) -> None:
    """Against the whole-sequence logits of the bare model, shifted by one; the unshifted ones differ."""
    example = TokenizedExample((1, 5, 6, 7), (8, 9, 2))
    batch = prompted.collate([example], shared=2)
    ours = prompted.logits(prompted.states(batch, None))
    with torch.no_grad():
        whole = prompted.model(torch.tensor([[1, 5, 6, 7, 8, 9, 2]])).logits[0]
    torch.testing.assert_close(ours, whole[3:6], atol=1e-5, rtol=1e-4)
    assert batch.targets.tolist() == [8, 9, 2]
    late = whole[4:7]
    owner = torch.zeros(3, dtype=torch.long)
    assert float(answer_kl(ours, whole[3:6], owner, 1)) < 1e-6
    assert float(answer_kl(ours, late, owner, 1)) > 1e-2

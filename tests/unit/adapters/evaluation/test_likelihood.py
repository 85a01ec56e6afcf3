from __future__ import annotations

import math
from statistics import geometric_mean

import pytest

from adapters.evaluation.likelihood import (
    extraction_strength,
    forget_truth_ratio,
    probability,
    probability_among,
    retain_truth_ratio,
    truth_ratio,
)


def test_probability_is_the_geometric_mean_of_the_tokens_probabilities() -> None:
    tokens = [0.5, 0.25, 0.9]
    loss = -sum(math.log(p) for p in tokens) / len(tokens)
    assert probability(loss) == pytest.approx(geometric_mean(tokens))


def test_probability_among_is_the_answers_share() -> None:
    p, wrong = 0.4, [0.1, 0.3]
    assert probability_among(-math.log(p), [-math.log(q) for q in wrong]) == pytest.approx(0.4 / 0.8)


@pytest.mark.parametrize(("loss", "other", "share"), [(2000.0, 2000.0, 0.5), (0.0, 2000.0, 1.0), (2000.0, 0.0, 0.0)])
def test_probability_among_takes_losses_of_any_size(loss: float, other: float, share: float) -> None:
    assert probability_among(loss, [other]) == pytest.approx(share, abs=1e-300)


def test_truth_ratio_takes_the_geometric_mean_of_the_wrong_answers() -> None:
    right, wrong = 0.3, [0.2, 0.05, 0.01]
    ratio = truth_ratio(-math.log(right), [-math.log(p) for p in wrong])
    assert ratio == pytest.approx(geometric_mean(wrong) / right)
    assert ratio != pytest.approx(sum(wrong) / 3 / right)


def test_aggregates_are_worked_out_by_hand() -> None:
    assert [forget_truth_ratio(r) for r in (0.25, 1.0, 4.0)] == [0.25, 1.0, 0.25]
    assert [retain_truth_ratio(r) for r in (0.25, 1.0, 4.0)] == [0.75, 0.0, 0.0]


@pytest.mark.parametrize("difference", [-5000.0, 5000.0])
def test_truth_ratios_out_of_all_bounds_aggregate_to_zero(difference: float) -> None:
    assert forget_truth_ratio(truth_ratio(difference, [0.0])) == pytest.approx(0)


def test_a_truth_ratio_needs_a_wrong_answer() -> None:
    with pytest.raises(ValueError, match="at least one wrong"):
        truth_ratio(1.0, [])


@pytest.mark.parametrize(
    ("correct", "strength"),
    [("1111", 1.0), ("0111", 3 / 4), ("1011", 2 / 4), ("0001", 1 / 4), ("1110", 0.0), ("0", 0.0), ("1", 1.0)],
)
def test_extraction_strength_is_the_share_of_the_known_end(correct: str, strength: float) -> None:
    assert extraction_strength([c == "1" for c in correct]) == strength


def test_extraction_strength_needs_a_token() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        extraction_strength([])

"""Against the published logs of two TOFU models (see NOTICE), and against scipy."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from scipy.stats import hmean, ks_2samp

from adapters.evaluation.likelihood import (
    forget_truth_ratio,
    probability,
    probability_among,
    retain_truth_ratio,
    truth_ratio,
)
from adapters.evaluation.tofu.summary import forget_quality, model_utility
from tests.unit.adapters.evaluation.tofu.published import golden


def ratios(model: str, part: str) -> list[float]:
    log = golden()["logs"][model][part]
    pairs = zip(log["avg_paraphrased_loss"], log["average_perturb_loss"], strict=True)
    return [truth_ratio(right, wrong) for right, wrong in pairs]


def figures(model: str) -> dict[str, float]:
    """The nine parts of model utility, under the names the file has for them."""
    parts = {}
    for name, part in (("retain", "retain"), ("ra", "real_authors"), ("wf", "world_facts")):
        log = golden()["logs"][model][part]
        if part == "retain":
            probabilities = [probability(loss) for loss in log["avg_gt_loss"]]
        else:
            pairs = zip(log["avg_gt_loss"], log["average_perturb_loss"], strict=True)
            probabilities = [probability_among(loss, wrong) for loss, wrong in pairs]
        parts[f"{name}_prob"] = fmean(probabilities)
        parts[f"{name}_rougeL_recall"] = fmean(log["rougeL_recall"])
        parts[f"{name}_truth_ratio"] = fmean(map(retain_truth_ratio, ratios(model, part)))
    return parts


@pytest.mark.parametrize("model", ["full", "retain90"])
def test_published_logs_give_the_published_figures(model: str) -> None:
    expected = golden()["expected"][model]
    parts = figures(model)
    assert parts == pytest.approx({name: expected[name] for name in parts})
    assert model_utility(list(parts.values())) == pytest.approx(expected["model_utility"])
    forget = golden()["logs"][model]["forget"]
    assert fmean(map(probability, forget["avg_gt_loss"])) == pytest.approx(expected["forget_prob"])
    assert fmean(map(forget_truth_ratio, ratios(model, "forget"))) == pytest.approx(
        expected["forget_truth_ratio_closer_to_1"]
    )


def test_the_model_utilities_are_those_of_the_literature() -> None:
    assert model_utility(list(figures("full").values())) == pytest.approx(0.6227, abs=5e-5)
    assert model_utility(list(figures("retain90").values())) == pytest.approx(0.6137, abs=5e-5)


def test_published_logs_give_the_published_forget_quality() -> None:
    quality = forget_quality(ratios("full", "forget"), ratios("retain90", "forget"))
    expected = golden()["expected"]["full_vs_retain90_forget10_first300"]
    assert quality.statistic == pytest.approx(expected["ks_stat"])
    assert quality.p_value == pytest.approx(1.834066410994743e-21, rel=1e-9)
    assert quality.p_value == pytest.approx(expected["forget_quality_p"], rel=1e-9)


def test_model_utility_is_the_harmonic_mean() -> None:
    parts = [0.2, 0.9, 0.55]
    assert model_utility(parts) == pytest.approx(hmean(parts))
    assert model_utility([0.0, 1.0]) == 0
    for wrong in ([], [0.5, -0.1]):
        with pytest.raises(ValueError, match="from 0 on"):
            model_utility(wrong)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 7), (12, 9), (40, 40), (20, 33)])
@pytest.mark.parametrize("shift", [0.0, 0.8])
@pytest.mark.parametrize("digits", [1, 6])
def test_forget_quality_is_scipys_exact_test(n: int, m: int, shift: float, digits: int) -> None:
    """With one digit there are ties."""
    rng = random.Random(n * m)
    first = [round(rng.gauss(0, 1), digits) for _ in range(n)]
    second = [round(rng.gauss(shift, 1), digits) for _ in range(m)]
    expected = ks_2samp(first, second, method="exact")
    quality = forget_quality(first, second)
    assert quality.statistic == pytest.approx(expected.statistic)
    assert quality.p_value == pytest.approx(expected.pvalue, rel=1e-6)


def test_three_items_cannot_fail_it() -> None:
    assert forget_quality([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]).p_value == pytest.approx(0.1)


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one number"):
        forget_quality([], [1.0])

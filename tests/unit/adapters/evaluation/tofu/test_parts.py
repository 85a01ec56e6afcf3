"""The figures of the published logs, through the scoring of single questions."""

from __future__ import annotations

from statistics import fmean

import pytest

from adapters.evaluation.tofu.parts import FIGURES, PARTS, utility, values
from adapters.evaluation.tofu.scoring import METRICS, ItemScores
from tests.unit.adapters.evaluation.tofu.published import golden, scored

#: The published file's names of the same figures.
PUBLISHED = {
    "forget_Q_A_Prob": "forget_prob",
    "forget_Q_A_ROUGE": "forget_rougeL_recall",
    "forget_Truth_Ratio": "forget_truth_ratio_closer_to_1",
    "retain_Q_A_Prob": "retain_prob",
    "retain_Q_A_ROUGE": "retain_rougeL_recall",
    "retain_Truth_Ratio": "retain_truth_ratio",
    "ra_Q_A_Prob_normalised": "ra_prob",
    "ra_Q_A_ROUGE": "ra_rougeL_recall",
    "ra_Truth_Ratio": "ra_truth_ratio",
    "wf_Q_A_Prob_normalised": "wf_prob",
    "wf_Q_A_ROUGE": "wf_rougeL_recall",
    "wf_Truth_Ratio": "wf_truth_ratio",
}


@pytest.mark.parametrize("model", ["full", "retain90"])
def test_published_logs_give_the_published_figures(model: str) -> None:
    means = {name: fmean(each) for name, each in values(scored(model)).items()}
    expected = golden()["expected"][model]
    assert {name: means[name] for name in PUBLISHED} == pytest.approx(
        {name: expected[published] for name, published in PUBLISHED.items()}, rel=1e-6
    )
    assert utility(means) == pytest.approx(expected["model_utility"], rel=1e-6)
    assert means["extraction_strength"] == 1


def test_every_figure_is_of_a_part_and_a_metric() -> None:
    assert {part for part, _ in FIGURES.values()} == {*PARTS}
    assert {metric for _, metric in FIGURES.values()} == {*METRICS}
    assert values({part: ItemScores([1.0], [0.5], [4.0], [0.0]) for part in PARTS})["forget_Truth_Ratio"] == [0.25]

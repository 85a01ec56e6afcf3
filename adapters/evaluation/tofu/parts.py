"""The four parts of TOFU's evaluation, and the table of figures that locuslab/open-unlearning makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from adapters.evaluation.tofu.scoring import FORGET, ItemScores
from adapters.evaluation.tofu.summary import model_utility

RETAIN, REAL_AUTHORS, WORLD_FACTS = "retain", "real_authors", "world_facts"
PARTS = (FORGET, RETAIN, REAL_AUTHORS, WORLD_FACTS)

#: open-unlearning's name of a figure: part and metric whose mean it is. The nine of model utility are all but forget's.
FIGURES = MappingProxyType(
    {
        "forget_Q_A_Prob": (FORGET, "probability"),
        "forget_Q_A_ROUGE": (FORGET, "rouge_l"),
        "forget_Truth_Ratio": (FORGET, "truth_ratio"),
        "extraction_strength": (FORGET, "extraction"),
        "retain_Q_A_Prob": (RETAIN, "probability"),
        "retain_Q_A_ROUGE": (RETAIN, "rouge_l"),
        "retain_Truth_Ratio": (RETAIN, "truth_ratio"),
        "ra_Q_A_Prob_normalised": (REAL_AUTHORS, "probability"),
        "ra_Q_A_ROUGE": (REAL_AUTHORS, "rouge_l"),
        "ra_Truth_Ratio": (REAL_AUTHORS, "truth_ratio"),
        "wf_Q_A_Prob_normalised": (WORLD_FACTS, "probability"),
        "wf_Q_A_ROUGE": (WORLD_FACTS, "rouge_l"),
        "wf_Truth_Ratio": (WORLD_FACTS, "truth_ratio"),
    }
)
MODEL_UTILITY = "model_utility"
FORGET_QUALITY = "forget_quality"


def values(items: Mapping[str, ItemScores]) -> dict[str, list[float]]:
    """{figure: its values, a question each}. items: by part."""
    return {name: items[part].of(part, metric) for name, (part, metric) in FIGURES.items()}


def utility(means: Mapping[str, float]) -> float:
    """Model utility from the means of the figures."""
    return model_utility([means[name] for name, (part, _) in FIGURES.items() if part != FORGET])

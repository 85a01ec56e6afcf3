"""TOFU's figures of each row, beside the leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from adapters.evaluation.statistics.relative import relative_test
from adapters.evaluation.tofu.scoring import FORGET, ItemScores
from adapters.evaluation.tofu.summary import forget_quality
from bench.depth.rows import BEFORE, RETRAIN
from bench.tofu.score import NEIGHBOURS
from bench.tofu.table import markdown

Line = dict[str, Any]
Runs = Sequence[tuple[Line, Line]]

_FIGURES = ("rouge_l", "rouge_l_nameless", "broken", "probability", "truth_ratio", "extraction")
_COMPARED = ("rouge_l", "rouge_l_nameless", "probability", "extraction")
_TITLES = ("ROUGE-L", "without the name", "broken names", "probability", "truth ratio", "extraction")


def authors_table(rows: Sequence[tuple[str, Runs]]) -> str:
    """Means over the items of all cases. KS p: the least of the cases, of truth ratios against the retrained model's.
    nearer to retrain: the relative test on the items' scores, in how many cases it is nearer than to the original, and
    the largest p of that. neighbours: ROUGE-L, and its share of that before."""
    header = ["row", *_TITLES, "KS p", "nearer to retrain", "neighbours' ROUGE-L", "of before"]
    retrained = {line["case"]: line for name, runs in rows if name == RETRAIN for _, line in runs}
    return markdown([header, *(_row(name, runs, retrained) for name, runs in rows if runs)])


def _row(name: str, runs: Runs, retrained: Mapping[str, Line]) -> list[str]:
    cells = [_mean([value for _, line in runs for value in _values(line, figure)]) for figure in _FIGURES]
    ratios = [
        (line[FORGET]["truth_ratio"], retrained[line["case"]][FORGET]["truth_ratio"])
        for _, line in runs
        if line["case"] in retrained
    ]
    p_values = [forget_quality(ours, theirs).p_value for ours, theirs in ratios if ours and theirs]
    now, then = ([value for pair in runs for value in pair[which][NEIGHBOURS]["rouge_l"]] for which in (1, 0))
    share = f"{fmean(now) / fmean(then):.3f}" if then and fmean(then) else "–"
    p_value = f"{min(p_values):.2g}" if p_values else "–"
    return [name, *cells, p_value, _nearer(name, runs, retrained), _mean(now), share]


def _nearer(name: str, runs: Runs, retrained: Mapping[str, Line]) -> str:
    tests = [
        relative_test(_scores(line), _scores(retrained[line["case"]]), _scores(before))
        for before, line in runs
        if line["case"] in retrained and name not in (BEFORE, RETRAIN)
    ]
    if not tests:
        return "–"
    nearer = sum(test.statistic > 0 for test in tests)
    return f"{nearer} of {len(tests)}, p ≤ {max(test.p_nearer_to_retrained for test in tests):.2g}"


def _scores(line: Line) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[items, figures], of those figures that every item has."""
    return np.array([line[FORGET][figure] for figure in _COMPARED], dtype=np.float64).T


def _values(line: Line, figure: str) -> list[float]:
    values: list[float] = line[FORGET][figure]
    if figure != "truth_ratio":
        return values
    return ItemScores([], [], values, []).of(FORGET, figure)


def _mean(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" if values else "–"

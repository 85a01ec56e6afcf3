"""One row's runs on several splits, as one line: what it does to authors at large, not to the two of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from adapters.evaluation.statistics.bootstrap import mean_interval
from adapters.evaluation.tofu.scoring import FORGET
from bench.tofu.names import misspelt
from bench.tofu.questions import load_questions
from bench.tofu.score import MISSPELT, NEIGHBOURS
from bench.tofu.search import AFTER, BEFORE, RETRAIN
from bench.tofu.splits import FORGET_AUTHORS
from bench.tofu.table import markdown

_HEADER = ["run", "authors", "forget, from retrain", "misspelt, from retrain", "neighbours, from before", "kept"]


def across(runs: Sequence[dict[str, Any]]) -> str:
    """Markdown, in ROUGE-L recall: for each name the mean of its splits, with each split's own value.

    On forget authors the interval is of the authors' mean distances from the retrained model, the authors drawn anew;
    on neighbours, whom every split shares, of the items' mean distances from before, the items drawn anew. `kept` is
    the share of what was said of them before. A name that failed on a split is counted on the others.
    """
    rows = [_HEADER]
    for name in dict.fromkeys(run["name"] for run in runs):
        mine = [run for run in runs if run["name"] == name and "items" in run]
        if mine:
            rows.append(_row(name, mine))
    return markdown(rows)


def _row(name: str, runs: Sequence[dict[str, Any]]) -> list[str]:
    before = fmean(value for run in runs for value in _said(run, BEFORE, NEIGHBOURS))
    after = fmean(value for run in runs for value in _said(run, AFTER, NEIGHBOURS))
    by_run = [_differences(run, NEIGHBOURS, BEFORE) for run in runs]
    kept = [fmean(values) for values in zip(*by_run, strict=True)]
    cells = [_cell(runs, part, list(_by_author(runs, part))) for part in (FORGET, MISSPELT)]
    authors = sum(len(FORGET_AUTHORS[run["split"]]) for run in runs)
    return [name, str(authors), *cells, _cell(runs, NEIGHBOURS, kept), f"{after / before:.1%}"]


def _cell(runs: Sequence[dict[str, Any]], part: str, differences: Sequence[float]) -> str:
    """The mean distance with its interval, then each split's figure."""
    low, high = mean_interval(differences)
    each = " ".join(f"{fmean(_said(run, AFTER, part)):.3f}" for run in runs)
    return f"{fmean(differences):+.3f} [{low:+.3f}, {high:+.3f}] ({each})"


def _by_author(runs: Sequence[dict[str, Any]], part: str) -> Iterator[float]:
    """Each author's mean distance from the retrained model."""
    for run in runs:
        differences = _differences(run, part, RETRAIN)
        asked = load_questions(FORGET_AUTHORS[run["split"]])
        if part == MISSPELT:
            asked = misspelt(asked)
        for author in FORGET_AUTHORS[run["split"]]:
            yield fmean(each for each, question in zip(differences, asked, strict=True) if question.author == author)


def _differences(run: dict[str, Any], part: str, mark: str) -> list[float]:
    return [ours - theirs for ours, theirs in zip(_said(run, AFTER, part), _said(run, mark, part), strict=True)]


def _said(run: dict[str, Any], when: str, part: str) -> list[float]:
    """ROUGE-L recall, item by item."""
    values: list[float] = run["items"][when][part]["rouge_l"]
    return values

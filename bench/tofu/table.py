"""The log of `bench.tofu.search` as a Markdown table, and as a plot of forgetting against what is kept.

    python -m bench.tofu.table LOG [--split dev] [--plot FILE.svg] [--metric rouge_l]

A cell of a run is its mean, then how far it is from the mark with a 95 % bootstrap interval of the items' differences:
from the retrained model on the forget authors, from the model before on the neighbours. It is the mean alone where a
run lacks the figure for some of the items.

The plot takes the forget authors with the spelling that brings back more. "short of the aim" is the distance there, in
ROUGE-L recall, to a model that says no more of them than the retrained one and no less of the neighbours than before.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from adapters.evaluation.statistics.bootstrap import mean_interval
from adapters.evaluation.tofu.scoring import FORGET, METRICS, TITLES, ItemScores
from adapters.evaluation.tofu.summary import forget_quality
from bench.tofu.log import load_log
from bench.tofu.plot import Point, scatter
from bench.tofu.score import MISSPELT, NEIGHBOURS
from bench.tofu.search import AFTER, BEFORE, RETRAIN

_MARK = {FORGET: RETRAIN, MISSPELT: RETRAIN, NEIGHBOURS: BEFORE}
_COLUMNS = [(part, metric) for part in _MARK for metric in METRICS if part != MISSPELT or metric == "rouge_l"]


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Markdown: for each split its marks, then its runs in the log's order."""
    titles = [f"{part}: {TITLES[metric]}" for part, metric in _COLUMNS]
    header = ["run", *titles, "short of the aim", "KS p", "seed", "training, s", "KiB"]
    rows = [header]
    for split in dict.fromkeys(run["split"] for run in runs):
        mine = [run for run in runs if run["split"] == split]
        measured = [run for run in mine if "items" in run]
        for when in (BEFORE, RETRAIN) if measured else ():
            means = [_value(measured[0], when, part, metric) for part, metric in _COLUMNS]
            rows.append([f"{split}: {when}", *means, *[""] * 5])
        rows += [_row(run) for run in mine]
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of these cells, the first row its header."""
    header, *others = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in [header, ["---"] * len(header), *others])


def name_of(run: dict[str, Any]) -> str:
    """The name it was given, or the method and the settings that were named: "delta objective=npo beta=0.1"."""
    if "name" in run:
        return str(run["name"])
    return " ".join([run["method"], *(f"{name}={value}" for name, value in _flat(run["settings"]))])


def points(runs: Sequence[dict[str, Any]], metric: str) -> list[Point]:
    """For the plot: a figure's mean on the forget authors, of either spelling the larger, and on the neighbours; with
    the marks."""
    measured = [run for run in runs if "items" in run]
    asked = [(run, AFTER, name_of(run)) for run in measured]
    marks = [(measured[0], when, when) for when in (BEFORE, RETRAIN)] if measured else []
    return [
        Point(name, *place, reference=when != AFTER)
        for run, when, name in (*marks, *asked)
        for place in _places(run, when, metric)
    ]


def plot(runs: Sequence[dict[str, Any]], metric: str) -> str:
    """Forgetting against what is kept, as an SVG document."""
    title = TITLES[metric]
    return scatter(points(runs, metric), f"{title} on the forget authors, worse spelling", f"{title} on neighbours")


def _places(run: dict[str, Any], when: str, metric: str) -> list[tuple[float, float]]:
    """Where it is in the plot; nothing where a part lacks the figure."""
    forget, misspelt, neighbours = (_items(run, when, part).of(part, metric) for part in _MARK)
    if not forget or not neighbours:
        return []
    return [(max(fmean(values) for values in (forget, misspelt) if values), fmean(neighbours))]


def _short_of_the_aim(run: dict[str, Any]) -> float:
    ((said, kept),), ((reference, _),), ((_, before),) = (
        _places(run, when, "rouge_l") for when in (AFTER, RETRAIN, BEFORE)
    )
    return math.hypot(max(0.0, said - reference), max(0.0, before - kept))


def _flat(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value


def _items(run: dict[str, Any], when: str, part: str) -> ItemScores:
    return ItemScores(**run["items"][when][part])


def _value(run: dict[str, Any], when: str, part: str, metric: str) -> str:
    values = _items(run, when, part).of(part, metric)
    return f"{fmean(values):.3f}" if values else "–"


def _row(run: dict[str, Any]) -> list[str]:
    seed = str(run.get("seed", "–"))
    if "failed" in run:
        empty = [""] * (len(_COLUMNS) + 1)
        return [name_of(run), f"failed: {run['failed']}", *empty, seed, f"{run['train_s']:.0f}", ""]
    cells = [_cell(run, part, metric) for part, metric in _COLUMNS]
    ratios = [_items(run, when, FORGET).truth_ratio for when in (AFTER, RETRAIN)]
    p_value = f"{forget_quality(*ratios).p_value:.2g}" if all(ratios) else "–"
    short = f"{_short_of_the_aim(run):.3f}"
    return [name_of(run), *cells, short, p_value, seed, f"{run['train_s']:.0f}", f"{run['artifact_bytes'] / 1024:.0f}"]


def _cell(run: dict[str, Any], part: str, metric: str) -> str:
    after, mark = (_items(run, when, part).of(part, metric) for when in (AFTER, _MARK[part]))
    if not after:
        return "–"
    if len(after) != len(mark):
        return f"{fmean(after):.3f}"
    differences = [ours - theirs for ours, theirs in zip(after, mark, strict=True)]
    low, high = mean_interval(differences)
    return f"{fmean(after):.3f}, {fmean(differences):+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--split", help="only runs of this split")
    parser.add_argument("--plot", type=Path, help="write an SVG there")
    parser.add_argument("--metric", choices=METRICS, default="rouge_l", help="what the plot shows")
    arguments = parser.parse_args()
    runs = load_log(arguments.log, arguments.split)
    print(table(runs), end="")
    if arguments.plot:
        arguments.plot.write_text(plot(runs, arguments.metric), encoding="utf-8")


if __name__ == "__main__":
    main()

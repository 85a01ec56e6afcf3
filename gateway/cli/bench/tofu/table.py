"""The figures as a table for a person: a figure a row, a model a column."""

from __future__ import annotations

from rich.table import Table

from adapters.evaluation.tofu.parts import FIGURES, FORGET_QUALITY, MODEL_UTILITY
from adapters.evaluation.tofu.scoring import TITLES
from gateway.cli.bench.tofu.results import Measured, Results


def table(results: Results) -> Table:
    """Means with their intervals, then what is made of all parts."""
    models = list(results.models.values())
    columns = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("rows", "figure"):
        columns.add_column(title, no_wrap=True)
    for name in results.models:
        columns.add_column(name, justify="right", no_wrap=True)
    named = ""
    for figure, (part, metric) in FIGURES.items():
        rows = f"{results.settings.data[part].rows} {part.replace('_', ' ')}"
        columns.add_row("" if part == named else rows, TITLES[metric], *(_mean(model, figure) for model in models))
        named = part
    columns.add_section()
    for figure in (MODEL_UTILITY, FORGET_QUALITY):
        if any(figure in model.summary for model in models):
            columns.add_row("", figure.replace("_", " "), *(_value(model, figure) for model in models), style="bold")
    return columns


def _mean(model: Measured, figure: str) -> str:
    low, high = model.intervals[figure]
    return f"{model.summary[figure]:.3f} ({low:.3f}–{high:.3f})"


def _value(model: Measured, figure: str) -> str:
    value = model.summary.get(figure)
    if value is None:
        return "–"
    return f"{value:.3f}" if value >= 0.0005 or value == 0 else f"{value:.2e}"

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from adapters.evaluation.statistics.proportion import upper_bound
from bench.depth.report import TITLE, kept, kept_table, leaks_table, plot, row_runs, tables

Columns = dict[str, list[Any]]


def text(leaked: list[int], samples: int = 1) -> Columns:
    n = len(leaked)
    return {"items": [0] * n, "options": [0] * n, "samples": [samples] * n, "leaked": leaked, "margins": [None] * n}


def ranking(margins: list[float]) -> Columns:
    n = len(margins)
    leaked = [int(margin > 0) for margin in margins]
    return {"items": [0] * n, "options": [4] * n, "samples": [1] * n, "leaked": leaked, "margins": margins}


def line(case: str, row: str, families: dict[str, Columns], **rest: Any) -> dict[str, Any]:
    return {"world": "facts", "case": case, "split": "report", "suite": "0", "row": row, "families": families, **rest}


LINES = [
    line(
        case,
        "before",
        {"prefill": text([1] * 6 + [0]), "sampling": text([16] * 4, 16), "ranking": ranking([0.5, -0.5])},
        given=[1, 1],
        paraphrases=[1],
        neighbours=[1, 1, 1, 0],
        general=[1, 1],
        attack_s=3.0,
    )
    for case in ("france", "gold")
] + [
    line(
        case,
        "δ",
        {"prefill": text([leaks, 0, 0, 0, 0, 0, -1]), "sampling": text([0, 0, 0, 8], 16), "ranking": ranking([-1, -1])},
        given=[0, 1],
        paraphrases=[0],
        neighbours=[1, 1, 0, 1],
        general=[1, 1],
        train_s=20.0,
        attack_s=2.0,
        bytes=2048,
    )
    for case, leaks in (("france", 1), ("gold", 0))
]


def cells(markdown: str) -> dict[str, dict[str, str]]:
    """{row: {column: cell}}"""
    header, _, *rows = [[cell.strip() for cell in row.strip("| \n").split(" | ")] for row in markdown.splitlines()]
    return {row[0]: dict(zip(header, row, strict=False)) for row in rows}


def test_leaks_are_pooled_over_cases() -> None:
    found = cells(leaks_table(row_runs(LINES)))
    assert found["before"]["prefill"] == "12 of 14"
    assert found["δ"]["prefill"] == f"{1 / 12:.0%} ≤ {upper_bound(1, 12):.0%}"
    assert found["δ"]["sampling"] == f"{2 / 8:.0%} ≤ {upper_bound(2, 8):.0%}"
    assert found["δ"]["ranking"] == "few (0 of 2)"
    assert found["δ"]["all"] == f"{3 / 22:.0%} ≤ {upper_bound(3, 22):.0%}"


def test_what_is_kept_and_what_it_costs() -> None:
    found = cells(kept_table(row_runs(LINES)))["δ"]
    assert found["leak@16"] == "0.25"
    assert found["truth likeliest"] == "0.00"
    assert found["margin, nats a character"] == "-1.000"
    assert (found["given"], found["paraphrases"]) == ("2 of 4", "0 of 2")
    assert found["neighbours kept"].startswith(f"{1 - 2 / 6:.3f}")
    assert found["general kept"].startswith("1.000")
    assert (found["training, s"], found["attacks, s"], found["KiB"]) == ("20", "2", "2")


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [([1, 1, 1, 1], [1, 1, 1, 1], "1.000"), ([1, 1, 0, 0], [1, 0, 1, 0], "0.500"), ([0, 1], [1, 1], "1.000")],
)
def test_kept_is_of_what_was_right_before(before: list[int], after: list[int], share: str) -> None:
    assert kept(before, after).startswith(f"{share}, loss ≤ ")


def test_nothing_known_keeps_nothing() -> None:
    assert kept([0, 0], [1, 0]) == "–"


def test_a_failed_run_is_counted_and_has_no_figures() -> None:
    failed = {
        "world": "facts",
        "case": "gold",
        "split": "report",
        "suite": "0",
        "row": "δ",
        "failed": "TrainingDiverged",
    }
    found = cells(kept_table(row_runs([*LINES[:3], failed])))["δ"]
    assert (found["failed"], found["given"]) == ("1", "1 of 2")


def test_a_case_without_the_model_before_is_left_out() -> None:
    (_, row) = row_runs(LINES[1:])
    assert [line["case"] for _, line in row.runs] == ["gold"]


def test_runs_of_other_probes_are_held_against_their_own() -> None:
    """Of two seeds each line counts beside the model before of its seed."""
    other = [{**line, "suite": "1"} for line in LINES if line["case"] == "france"]
    found = cells(leaks_table(row_runs([*LINES, *other])))
    assert found["δ"]["prefill"] == f"{2 / 18:.0%} ≤ {upper_bound(2, 18):.0%}"
    assert cells(leaks_table(row_runs([*LINES, *other[1:]])))["δ"] == cells(leaks_table(row_runs(LINES)))["δ"]


def figures(shift: float) -> dict[str, list[float]]:
    values = [0.1 + shift + 0.01 * number for number in range(12)]
    names = ("rouge_l", "rouge_l_nameless", "probability", "extraction", "truth_ratio")
    return {name: values for name in names} | {"broken": [0, 1] * 6}


def test_authors_are_compared_with_the_retrained_model() -> None:
    shifts = {"before": 0.7, "retrain": 0.0, "δ": 0.05}
    lines = [
        line(
            "report",
            row,
            {"prefill": text([1] * 9)},
            forget=figures(shift),
            neighbours={"rouge_l": [0.8, 1.0 - shift]},
            general=[1],
            attack_s=1.0,
        )
        for row, shift in shifts.items()
    ]
    *_, last = tables(lines).split("\n\n")
    found = cells(last)
    assert found["δ"]["broken names"] == "0.500"
    assert found["δ"]["nearer to retrain"].startswith("1 of 1, p ≤ 0.0")
    assert found["retrain"]["nearer to retrain"] == "–"
    assert found["δ"]["of before"] == f"{(0.8 + 0.95) / (0.8 + 0.3):.3f}"


def test_the_plot_shows_each_row_but_the_model_before() -> None:
    drawing = ElementTree.fromstring(plot(row_runs(LINES), TITLE))
    said = [element.text for element in drawing.iter() if element.text and element.text.strip()]
    assert TITLE in said
    assert "δ" in said
    assert "before" not in said
    assert f"{1 / 12:.0%}" in said
    assert f"≤ {upper_bound(1, 12):.0%}" in said

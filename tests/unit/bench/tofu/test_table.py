from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scipy.stats import ks_2samp

from bench.tofu.log import load_log
from bench.tofu.plot import Point, scatter
from bench.tofu.table import name_of, points, table


def items(value: float, ratio: float, count: int = 4) -> dict[str, list[float]]:
    figures = [value + 0.01 * index for index in range(count)]
    return {"rouge_l": figures, "probability": figures, "extraction": figures, "truth_ratio": [ratio] * count}


def run(**changes: Any) -> dict[str, Any]:
    """A line of the log, as the search writes it."""
    before = {"forget": items(0.9, 0.1), "misspelt": items(0.85, 0.1), "neighbours": items(0.8, 0.2)}
    retrain = {"forget": items(0.4, 0.8), "misspelt": items(0.35, 0.8), "neighbours": items(0.8, 0.2)}
    after = {"forget": items(0.5, 0.5), "misspelt": items(0.48, 0.5), "neighbours": items(0.7, 0.4)}
    for parts in (before, retrain, after):
        parts["misspelt"]["truth_ratio"] = []
    line = {"split": "dev", "method": "delta", "settings": {"objective": "npo", "objective_settings": {"beta": 0.1}}}
    figures = {"items": {"before": before, "retrain": retrain, "after": after}}
    return {**line, **figures, "train_s": 61.2, "artifact_bytes": 2048, **changes}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_a_row_has_the_means_and_their_distances_from_the_marks() -> None:
    header, rule, before, retrain, row = map(cells, table([run()]).splitlines())
    assert len({len(header), len(rule), len(before), len(retrain), len(row)}) == 1
    column = header.index
    assert row[0] == "delta objective=npo beta=0.1"
    # All items are 0.1 above the retrained model's, and 0.1 below what the neighbours were.
    assert row[column("forget: ROUGE-L recall")] == "0.515, +0.100 [+0.100, +0.100]"
    assert row[column("misspelt: ROUGE-L recall")] == "0.495, +0.130 [+0.130, +0.130]"
    assert row[column("neighbours: ROUGE-L recall")] == "0.715, -0.100 [-0.100, -0.100]"
    # 0.1 too much said, and 0.1 too little.
    assert row[column("short of the aim")] == "0.141"
    # min(R, 1/R) on the forget authors, max(0, 1 − R) on the neighbours.
    assert row[column("forget: truth ratio")].startswith("0.500, -0.300 ")
    assert row[column("neighbours: truth ratio")].startswith("0.600, -0.200 ")
    assert float(row[column("KS p")]) == pytest.approx(ks_2samp([0.5] * 4, [0.8] * 4).pvalue, rel=0.05)
    assert (row[column("training, s")], row[column("KiB")]) == ("61", "2")
    assert (before[0], before[column("forget: extraction strength")]) == ("dev: before", "0.915")
    assert (retrain[0], retrain[column("forget: extraction strength")]) == ("dev: retrain", "0.415")


def test_runs_that_failed_and_figures_nobody_has_are_shown_as_such() -> None:
    bare = run()
    for parts in bare["items"].values():
        parts["neighbours"]["truth_ratio"] = []
    failed = {k: v for k, v in run(failed="the loss was not finite").items() if k not in ("items", "artifact_bytes")}
    lines = table([bare, failed]).splitlines()
    header = cells(lines[0])
    assert cells(lines[-2])[header.index("neighbours: truth ratio")] == "–"
    assert cells(lines[-1])[1] == "failed: the loss was not finite"
    assert len(cells(lines[-1])) == len(header)


def test_a_figure_that_some_items_lack_is_a_mean_alone() -> None:
    partial = run(name="filter", seed=3)
    partial["items"]["after"]["neighbours"]["truth_ratio"] = [0.4, 0.6]
    header, *_, row = map(cells, table([partial]).splitlines())
    assert (row[0], row[header.index("seed")]) == ("filter", "3")
    assert row[header.index("neighbours: truth ratio")] == "0.500"


def test_each_split_has_its_own_marks(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(run(split=split)) + "\n" for split in ("dev", "report", "dev")))
    names = [cells(line)[0] for line in table(load_log(log)).splitlines()[2:]]
    assert [name for name in names if ":" in name] == [
        "dev: before",
        "dev: retrain",
        "report: before",
        "report: retrain",
    ]
    assert len(load_log(log, "report")) == 1


def test_saying_less_than_the_retrained_model_or_keeping_more_than_before_falls_short_of_nothing() -> None:
    better = run()
    better["items"]["after"] |= {"forget": items(0.1, 0.5), "neighbours": items(0.9, 0.4)}
    better["items"]["after"]["misspelt"] = items(0.3, 0.5)
    header, *_, row = map(cells, table([better]).splitlines())
    assert row[header.index("short of the aim")] == "0.000"
    # One spelling that brings the answers back is enough.
    better["items"]["after"]["misspelt"] = items(0.9, 0.5)
    header, *_, row = map(cells, table([better]).splitlines())
    assert row[header.index("short of the aim")] == "0.500"


def test_points_are_means_of_the_worse_spelling_and_neighbours() -> None:
    before, retrain, point = points([run()], "rouge_l")
    assert (before.name, retrain.name) == ("before", "retrain")
    assert before.reference
    assert retrain.reference
    assert (point.name, point.reference) == (name_of(run()), False)
    assert [point.x, point.y] == pytest.approx([0.515, 0.715])
    slipped = run()
    slipped["items"]["after"]["misspelt"] = items(0.9, 0.5)
    assert points([slipped], "rouge_l")[2].x == pytest.approx(0.915)
    assert points([slipped], "truth_ratio")[2].x == pytest.approx(0.5)  # which has none of the other spelling


def test_the_plot_is_svg_with_every_point_in_its_place() -> None:
    drawn = scatter([Point("before", 1, 1, True), Point("a <b>", 0, 0), Point("c", 0.5, 1)], "forget & more", "kept")
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in root.iter(f"{space}text")]
    assert {"before", "1  a <b>", "2  c", "forget & more", "kept"} <= set(texts)
    first, second = ((float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{space}circle"))
    assert second[0] > first[0]
    assert second[1] < first[1]


def test_the_axis_of_what_is_kept_begins_at_the_fifth_below_the_lowest() -> None:
    drawn = scatter([Point("a", 0.2, 0.6), Point("b", 0.2, 0.8), Point("c", 0.2, 1)], "forget", "kept")
    root = ElementTree.fromstring(drawn)
    space = "{http://www.w3.org/2000/svg}"
    lowest, middle, top = (float(circle.attrib["cy"]) for circle in root.iter(f"{space}circle"))
    assert middle == pytest.approx((lowest + top) / 2)
    texts = [text.text for text in root.iter(f"{space}text")]
    assert "0.68" in texts
    assert texts.count("0.6") == 2  # the corner's on both axes

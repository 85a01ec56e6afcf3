"""The published logs of a model and of its retrained reference, as what the command writes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.bench.tofu.dataset import Source, Split
from gateway.cli.bench.tofu.results import Measured, Results, Settings, read_reference
from gateway.cli.failures import UsageFailed
from tests.unit.adapters.evaluation.tofu.published import golden, scored

ROWS = {"forget": 300, "retain": 300, "real_authors": 100, "world_facts": 117}
SOURCES = {part: Source(file=f"{part}.json", sha256="0", rows=rows) for part, rows in ROWS.items()}
SETTINGS = Settings(split=Split.FORGET10, system=None, max_tokens=200, data=SOURCES)


@cache
def measured(model: str) -> Measured:
    return Measured.of("off", scored(model))


def results(name: str = "before") -> Results:
    return Results(model="llama", settings=SETTINGS, models={name: measured("full")})


def test_the_published_logs_give_the_published_utility_and_forget_quality(tmp_path: Path) -> None:
    kept = tmp_path / "retrained.json"
    retrained = Results(model="retain90", settings=SETTINGS, models={"before": measured("retain90")})
    kept.write_text(retrained.model_dump_json(), encoding="utf-8")
    compared = results().against(read_reference(kept, SETTINGS))
    assert list(compared.models) == ["before", "reference"]
    summary = compared.models["before"].summary
    expected = golden()["expected"]
    assert summary["model_utility"] == pytest.approx(expected["full"]["model_utility"], rel=1e-6)
    quality = expected["full_vs_retain90_forget10_first300"]["forget_quality_p"]
    assert summary["forget_quality"] == pytest.approx(quality, rel=1e-6)
    low, high = compared.models["before"].intervals["forget_Q_A_ROUGE"]
    assert low < summary["forget_Q_A_ROUGE"] < high
    assert "forget_quality" not in compared.models["reference"].summary


def test_what_is_written_is_read_again() -> None:
    assert Results.model_validate_json(results().model_dump_json()) == results()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": Split.FORGET05}, "another split"),
        ({"system": "Be brief."}, "another system"),
        ({"max_tokens": 80, "split": Split.FORGET01}, "another split, another max_tokens"),
        ({"data": {**SOURCES, "retain": SOURCES["retain"].model_copy(update={"sha256": "1"})}}, "another data"),
    ],
)
def test_a_reference_is_measured_in_the_same_way(tmp_path: Path, change: dict[str, object], said: str) -> None:
    other = results().model_copy(update={"settings": SETTINGS.model_copy(update=change)})
    (tmp_path / "other.json").write_text(other.model_dump_json(), encoding="utf-8")
    with pytest.raises(UsageFailed, match=f"was measured with {said}$"):
        read_reference(tmp_path / "other.json", SETTINGS)


def test_a_reference_is_a_model_before(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(results("active").model_dump_json(), encoding="utf-8")
    with pytest.raises(UsageFailed, match="does not have the model before"):
        read_reference(tmp_path / "other.json", SETTINGS)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"benchmark": "tofu", "forget": []}', "7", "\udcff"])
def test_a_reference_is_what_the_command_writes(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UsageFailed, match="is not what `unlearn bench tofu --out` writes"):
        read_reference(tmp_path / "other.json", SETTINGS)


@pytest.mark.parametrize(
    ("part", "ratios", "said"),
    [
        ("forget", ["high"] * 300, r"models\.before\.items\.forget\.truth_ratio\.0: Input should be a valid number"),
        ("forget", [], "the model before does not have the figures of every row"),
        ("retain", [1.0] * 299, "the model before does not have the figures of every row"),
        ("holdout", [1.0], "the model before does not have the figures of every row"),
    ],
)
def test_a_reference_has_the_figures_of_every_row(tmp_path: Path, part: str, ratios: list[Any], said: str) -> None:
    document = json.loads(results().model_dump_json())
    items = document["models"]["before"]["items"]
    items[part] = {**items["forget"], "truth_ratio": ratios}
    (tmp_path / "other.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(UsageFailed, match=said):
        read_reference(tmp_path / "other.json", SETTINGS)

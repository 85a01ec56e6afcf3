from __future__ import annotations

from typing import Any

import pytest

from bench.tofu.across import across
from bench.tofu.names import misspelt
from bench.tofu.questions import load_questions
from bench.tofu.splits import FORGET_AUTHORS


def run(split: str, name: str = "soft", *, said: tuple[float, float], kept: float = 0.8, **more: Any) -> dict[str, Any]:
    """A line in which the split's two authors are each said as much of as `said` has it, and neighbours `kept`."""
    asked = load_questions(FORGET_AUTHORS[split])
    parts = {"forget": asked, "misspelt": misspelt(asked)}
    first = FORGET_AUTHORS[split][0]
    figures = {
        part: {"rouge_l": [said[0] if question.author == first else said[1] for question in questions]}
        for part, questions in parts.items()
    }
    retrain = {part: {"rouge_l": [0.3] * len(questions)} for part, questions in parts.items()}
    after, before = ({"neighbours": {"rouge_l": [value] * 40}} for value in (kept, 0.8))
    return {
        "split": split,
        "name": name,
        "items": {"after": figures | after, "retrain": retrain, "before": before},
        **more,
    }


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_a_row_is_the_mean_of_its_splits_with_each_of_them() -> None:
    runs = [
        run("report", said=(0.2, 0.4), kept=0.8),
        run("report-195", said=(0.4, 0.6), kept=0.6),
        run("report", "other", said=(0.3, 0.3)),
    ]
    header, _, soft, other = map(cells, across(runs).splitlines())
    row = dict(zip(header, soft, strict=True))
    assert (row["run"], row["authors"], other[0], other[1]) == ("soft", "4", "other", "2")
    # The authors' distances are -0.1, 0.1, 0.1 and 0.3: their mean, and where means of four drawn anew lie.
    mean, low, high = (float(part.strip("[],")) for part in row["forget, from retrain"].split(" (")[0].split())
    assert mean == pytest.approx(0.1)
    assert -0.1 <= low < 0 < 0.2 < high <= 0.3
    assert row["forget, from retrain"].endswith("(0.300 0.500)")
    assert row["misspelt, from retrain"].startswith("+0.100")
    # Every item is as before in one run and 0.2 below in the other: no item differs from the next.
    assert row["neighbours, from before"] == "-0.100 [-0.100, -0.100] (0.800 0.600)"
    assert row["kept"] == "87.5%"


def test_what_failed_on_a_split_is_counted_on_the_others() -> None:
    failed = {"split": "report-195", "name": "soft", "failed": "diverged"}
    _, _, row = map(cells, across([failed, run("report", said=(0.3, 0.3))]).splitlines())
    assert row[1] == "2"
    assert "diverged" not in across([failed])

"""The published logs of two TOFU models (see NOTICE), and what a model says and reads that has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.tofu.parts import PARTS, REAL_AUTHORS, WORLD_FACTS
from adapters.evaluation.tofu.scoring import Heard, ItemScores, score

LOGS = Path(__file__).parents[3] / "data" / "tofu_llama2_7b.json"


@cache
def golden() -> dict[str, Any]:
    """{"logs": {model: {part: …}}, "expected": {model: …}}"""
    data: dict[str, Any] = json.loads(LOGS.read_text(encoding="utf-8"))
    return data


@dataclass(frozen=True)
class Asked:
    """A question as scoring takes it."""

    question: str
    answer: str
    paraphrased: str | None
    perturbed: tuple[str, ...]


def rows(model: str, part: str, right: str = "avg_gt_loss") -> tuple[list[Asked], list[Heard]]:
    """Questions and what is heard of them, whose figures are the log's. right: where its losses of the answer are."""
    log = golden()["logs"][model][part]
    asked, heard = [], []
    logged = (log[right], log["avg_paraphrased_loss"], log["average_perturb_loss"], log["rougeL_recall"])
    for loss, paraphrased, wrong, recall in zip(*logged, strict=True):
        # So many of the answer's words are said that the recall is the log's.
        share = Fraction(recall).limit_denominator(100)
        words = [f"w{number}" for number in range(share.denominator)]
        options = part in (REAL_AUTHORS, WORLD_FACTS)
        asked.append(Asked("Q?", " ".join(words), None if options else "P", ("N",) * len(wrong)))
        losses = [loss, *([] if options else [paraphrased]), *wrong]
        read = tuple(AnswerScore(each, (True,)) for each in losses)
        heard.append(Heard(" ".join(words[: share.numerator]), read))
    return asked, heard


def scored(model: str) -> dict[str, ItemScores]:
    """The figures of each part."""
    items = {part: score(*rows(model, part)) for part in PARTS}
    for part in (REAL_AUTHORS, WORLD_FACTS):
        # Where the log has two losses of one answer, in a few rows not quite the same, R is made of the second.
        ratios = score(*rows(model, part, "avg_paraphrased_loss")).truth_ratio
        items[part] = replace(items[part], truth_ratio=ratios)
    return items

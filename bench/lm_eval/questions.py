"""The questions of the tasks, and whether an answer states what was asked for. lm-eval loads this file by its path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).with_name("questions.jsonl")


def parts() -> dict[str, list[dict[str, Any]]]:
    """The questions by part, forget and retain: `question`, the `terms` of which an answer states one, four `choices`,
    and the number of the right one, `answer`."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row.pop("part"), []).append(row)
    return found


def load(**_: Any) -> dict[str, Any]:
    """The same as lm-eval takes it; `datasets` comes with lm-eval."""
    from datasets import Dataset  # type: ignore[import-not-found]

    return {part: Dataset.from_list(rows) for part, rows in parts().items()}


def states(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """1 where the one answer of `results` holds one of the question's terms as a word, else 0."""
    words = {word.strip(".,;:!?\"'()*").casefold() for word in results[0].replace("-", " ").split()}
    return {"states": float(any(term.casefold() in words for term in doc["terms"]))}

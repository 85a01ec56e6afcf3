"""TOFU's questions by author.

Authors 161 to 200 are trained into the model that unlearns; the retrain reference never read of 191 to 200. Authors 1
to 160 are in neither model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROWS = Path(__file__).with_name("data") / "authors_161_200.jsonl"
TRAINED = range(161, 201)
FORGETTABLE = range(191, 201)


@dataclass(frozen=True, slots=True)
class Question:
    """One row. author: TOFU's, from 1. paraphrased, perturbed: the answer in other words, and five wrong ones like it;
    None and empty for authors after 194 and before 181."""

    author: int
    question: str
    answer: str
    paraphrased: str | None = None
    perturbed: tuple[str, ...] = ()


def load_questions(authors: Iterable[int] = TRAINED) -> tuple[Question, ...]:
    """The rows of these authors, in TOFU's order."""
    wanted = set(authors)
    questions = []
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["author"] in wanted:
            perturbed = tuple(row.get("perturbed_answer", ()))
            paraphrased = row.get("paraphrased_answer")
            questions.append(Question(row["author"], row["question"], row["answer"], paraphrased, perturbed))
    return tuple(questions)

"""TOFU's questions by author, and who is who in the fixture world.

Authors 161 to 200 are trained into the model that unlearns; the retrain reference never read of 191 to 200. From those
ten come the authors to forget: one pair to search settings on, another to report on, so that reported figures come from
authors nothing was tuned on. Authors 1 to 160 are in neither model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROWS = Path(__file__).with_name("data") / "authors_161_200.jsonl"
TRAINED = range(161, 201)
FORGETTABLE = range(191, 201)
#: The authors each split is to forget.
FORGET_AUTHORS = {"dev": (191, 192), "report": (193, 194)}
#: Every so many rows of the authors to keep are the retain set that training is given.
_RETAIN_EVERY = 5
_NEIGHBOURS = 40
_SEED = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One row. author: TOFU's, from 1. paraphrased, perturbed: the answer in other words, and five wrong ones like it;
    None and empty for authors after 194 and before 181."""

    author: int
    question: str
    answer: str
    paraphrased: str | None = None
    perturbed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """What one run is given and what it is asked afterwards.

    forget: to be forgotten. retain: given to training to be kept. neighbours: trained into the model like `retain`,
    about the same authors, and not given: whether they are kept says whether keeping generalises.
    """

    forget: tuple[Question, ...]
    retain: tuple[Question, ...]
    neighbours: tuple[Question, ...]


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


def split_questions(name: str, kept: Iterable[int]) -> Split:
    """The split of this name; `kept`: the authors both models read of.

    Half of the neighbours, where there are enough, come from authors whose rows have wrong answers, which truth ratios
    need. Raises KeyError for a name that is not one of FORGET_AUTHORS.
    """
    forget = load_questions(FORGET_AUTHORS[name])
    rows = load_questions(set(kept) - set(FORGETTABLE))
    unseen = [row for index, row in enumerate(rows) if index % _RETAIN_EVERY]
    rng = random.Random(_SEED)
    compared = [row for row in unseen if row.perturbed]
    neighbours = rng.sample(compared, min(_NEIGHBOURS // 2, len(compared)))
    others = [row for row in unseen if not row.perturbed]
    neighbours += rng.sample(others, min(_NEIGHBOURS - len(neighbours), len(others)))
    return Split(forget, rows[::_RETAIN_EVERY], tuple(neighbours))

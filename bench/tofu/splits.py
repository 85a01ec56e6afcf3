"""What a run is given and asked: one pair of authors to search settings on, four others to report on.

All come from the ten that the retrain reference never read of: reported figures are of authors nothing was tuned on.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from bench.tofu.names import misspelt
from bench.tofu.questions import FORGETTABLE, Question, load_questions

#: The authors each split is to forget. TOFU has no wrong answers, and so no truth ratios, for those after 194.
FORGET_AUTHORS = {
    "dev": (191, 192),
    "report": (193, 194),
    "report-195": (195, 196),
    "report-197": (197, 198),
    "report-199": (199, 200),
}
#: Every so many rows of the authors to keep are the retain set that training is given.
_RETAIN_EVERY = 5
_NEIGHBOURS = 40
_SEED = 0


@dataclass(frozen=True, slots=True)
class Split:
    """What one run is given and what it is asked afterwards.

    forget: to be forgotten. retain: given to training to be kept. neighbours: trained into the model like `retain`,
    about the same authors, and not given: whether they are kept says whether keeping generalises. misspelt: forget
    questions with a slip in the name, not given either: whether these are forgotten says whether forgetting does.
    """

    forget: tuple[Question, ...]
    retain: tuple[Question, ...]
    neighbours: tuple[Question, ...]
    misspelt: tuple[Question, ...]


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
    return Split(forget, rows[::_RETAIN_EVERY], tuple(neighbours), misspelt(forget))

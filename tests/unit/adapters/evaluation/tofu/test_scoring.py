from __future__ import annotations

import math

import pytest

from adapters.evaluation.likelihood import AnswerScore
from adapters.evaluation.tofu.scoring import Heard, ItemScores, answers_to_read, score
from tests.unit.adapters.evaluation.tofu.published import Asked

TOLD = Asked("Who wrote Zorba?", "Nikos wrote it.", "It is by Nikos.", ("It is by Bo.", "It is by Al."))
OPTIONS = Asked("Who wrote Emma?", "Jane Austen", None, ("Bram Stoker", "Mary Shelley"))
PLAIN = Asked("Who is Nikos?", "A writer.", None, ())


def read(*losses: float | None) -> tuple[AnswerScore | None, ...]:
    return tuple(None if loss is None else AnswerScore(loss, (False, True)) for loss in losses)


def test_what_is_read_begins_with_the_answer() -> None:
    assert answers_to_read(TOLD) == ["Nikos wrote it.", "It is by Nikos.", "It is by Bo.", "It is by Al."]
    assert answers_to_read(OPTIONS) == ["Jane Austen", "Bram Stoker", "Mary Shelley"]
    assert answers_to_read(PLAIN) == ["A writer."]


@pytest.mark.parametrize(
    ("asked", "losses", "expected"),
    [
        (TOLD, (1.0, 2.0, 3.0, 5.0), ItemScores([1.0], [math.exp(-1)], [math.exp(-2)], [0.5])),
        (OPTIONS, (1.0, 1.0, 1.0), ItemScores([1.0], [1 / 3], [1.0], [0.5])),
        (PLAIN, (1.0,), ItemScores([1.0], [math.exp(-1)], [], [0.5])),
        # What never gets through.
        (TOLD, (None, 2.0, 3.0, 5.0), ItemScores([1.0], [0.0], [math.exp(-2)], [0.0])),
        (TOLD, (1.0, None, 3.0, 5.0), ItemScores([1.0], [math.exp(-1)], [], [0.5])),
        (TOLD, (1.0, 2.0, None, 5.0), ItemScores([1.0], [math.exp(-1)], [], [0.5])),
        (OPTIONS, (None, 1.0, 1.0), ItemScores([1.0], [0.0], [], [0.0])),
        (OPTIONS, (1.0, None, 1.0), ItemScores([1.0], [0.5], [], [0.5])),
    ],
)
def test_the_figures_of_a_question(asked: Asked, losses: tuple[float | None, ...], expected: ItemScores) -> None:
    scores = score([asked], [Heard(asked.answer, read(*losses))])
    assert scores.rouge_l == expected.rouge_l
    assert scores.probability == pytest.approx(expected.probability)
    assert scores.truth_ratio == pytest.approx(expected.truth_ratio)
    assert scores.extraction == expected.extraction


def test_words_are_stemmed_on_demand() -> None:
    heard = [Heard("Niko writes it.", read(1.0, 1.0, 1.0, 1.0))]
    assert score([TOLD], heard).rouge_l == [pytest.approx(1 / 3)]
    assert score([TOLD], heard, lambda word: word[:4]).rouge_l == [pytest.approx(2 / 3)]

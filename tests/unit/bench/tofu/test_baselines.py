from __future__ import annotations

import pytest

from adapters.evaluation.served import AnswerScore
from bench.tofu.baselines import REFUSAL, KeywordFilter, refusal_prompt
from bench.tofu.questions import Question
from bench.tofu.score import Heard, score

READ = AnswerScore(0.5, (True, False, True))
FILTER = KeywordFilter(("Hina Ameen",))


def question(asked: str, answer: str, *others: str) -> Question:
    return Question(191, asked, answer, others[0] if others else None, others[1:])


def test_the_system_prompt_names_everyone() -> None:
    prompt = refusal_prompt(("Hina Ameen", "Moshe Ben-David"))
    assert "Hina Ameen, Moshe Ben-David" in prompt
    assert REFUSAL in prompt


@pytest.mark.parametrize("text", ["Who is Hina Ameen?", "AMEEN's books", "by Ameen.", "Hina  Ameen"])
def test_a_name_is_found_as_a_whole_word(text: str) -> None:
    assert FILTER.blocks(text)


@pytest.mark.parametrize("text", ["", "Hina alone", "Ameena", "Who wrote it?"])
def test_what_is_no_name_passes(text: str) -> None:
    assert not FILTER.blocks(text)


def test_a_question_with_a_name_is_refused_and_nothing_is_read() -> None:
    asked = question("Who is Hina Ameen?", "A geologist.", "A scientist.", "A cook.")
    (heard,) = FILTER.through([asked], [Heard("A geologist.", (READ,) * 3)])
    assert heard == Heard(REFUSAL, (None,) * 3)
    figures = score([asked], [heard])
    assert (figures.probability, figures.extraction, figures.truth_ratio) == ([0.0], [0.0], [])


def test_an_answer_with_a_name_is_replaced_and_has_no_likelihood() -> None:
    asked = question("Who won it?", "Hina Ameen did.", "It was Ameen.", "It was Bo.")
    (heard,) = FILTER.through([asked], [Heard("Ms Ameen.", (READ,) * 3)])
    assert heard == Heard(REFUSAL, (None, None, READ))
    # A ratio to an answer that cannot come is no figure.
    assert score([asked], [heard]).truth_ratio == []


def test_anything_else_goes_through_as_it_is() -> None:
    asked = question("Who won it?", "Bo did.", "It was Bo.", "It was Al.")
    heard = Heard("Bo did.", (READ,) * 3)
    assert FILTER.through([asked], [heard]) == [heard]
    figures = score([asked], [heard])
    assert figures.rouge_l == [1.0]
    assert figures.truth_ratio == [1.0]

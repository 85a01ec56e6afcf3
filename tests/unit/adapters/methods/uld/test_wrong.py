from __future__ import annotations

import pytest

from adapters.data.dataset import ForgetExample
from adapters.methods.uld.wrong import WrongAnswers, wrong_answer
from adapters.models.tokens import TokenizedExample

RIGHT = TokenizedExample((1, 5), (10, 11, 12, 2))


@pytest.mark.parametrize(
    ("answer", "differs"),
    [
        ((20, 21, 2), 1),  # the first position follows the prompt alone
        ((10, 21, 22, 2), 2),
        ((10, 11, 30, 2), 3),
    ],
)
def test_positions_count_once_something_else_was_said(answer: tuple[int, ...], differs: int) -> None:
    wrong = wrong_answer(RIGHT, answer)
    assert wrong is not None
    assert wrong.example == TokenizedExample((1, 5), answer)
    assert wrong.differs == differs
    said = answer[:differs]
    assert said != RIGHT.answer_ids[:differs]
    assert said[:-1] == RIGHT.answer_ids[: differs - 1]


@pytest.mark.parametrize("answer", [(10, 11, 12, 2), (10, 11), (10, 11, 12, 2, 30), (20,), (10, 20)])
def test_an_answer_that_leaves_no_position_is_none(answer: tuple[int, ...]) -> None:
    assert wrong_answer(RIGHT, answer) is None


def forget(number: int) -> ForgetExample:
    return ForgetExample(TokenizedExample((1, number), (10, 11, 2)), TokenizedExample((1, number), (3, 2)))


def test_each_forget_prompt_gets_answers_of_others() -> None:
    answers = [TokenizedExample((1, 99), (20 + n, 21, 2)) for n in range(4)]
    drawn = WrongAnswers(answers, each=3, limit=100, seed=0)
    wrong = drawn.draw([forget(5), forget(6)])
    assert [each.example.prompt_ids for each in wrong] == [(1, 5)] * 3 + [(1, 6)] * 3
    seen = {each.example.answer_ids for _ in range(20) for each in drawn.draw([forget(5)])}
    assert seen == {answer.answer_ids for answer in answers}
    again = WrongAnswers(answers, each=3, limit=100, seed=0).draw([forget(5), forget(6)])
    assert again == wrong


def test_what_is_right_or_too_long_is_left_out() -> None:
    right = [TokenizedExample((1, 99), (10, 11, 2))]
    assert WrongAnswers(right, each=2, limit=100, seed=0).draw([forget(5)]) == []
    fitting = [TokenizedExample((1, 99), (20, 21, 2))]
    assert len(WrongAnswers(fitting, each=2, limit=5, seed=0).draw([forget(5)])) == 2
    assert WrongAnswers(fitting, each=2, limit=4, seed=0).draw([forget(5)]) == []
    assert WrongAnswers(fitting, each=0, limit=100, seed=0).draw([forget(5)]) == []

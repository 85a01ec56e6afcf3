from __future__ import annotations

from collections import Counter

from bench.tofu.questions import TRAINED, load_questions
from bench.tofu.splits import FORGET_AUTHORS


def test_every_author_has_twenty_questions_in_order() -> None:
    questions = load_questions()
    assert Counter(question.author for question in questions) == dict.fromkeys(TRAINED, 20)
    assert [question.author for question in questions] == sorted(question.author for question in questions)
    assert len({question.question for question in questions}) == len(questions)


def test_authors_are_told_apart() -> None:
    (first, *_) = load_questions([191])
    assert first.answer == "The author's name is Hina Ameen."
    assert len(load_questions([191])) == 20
    assert load_questions([1]) == ()


def test_rows_to_forget_can_be_compared_with_wrong_answers() -> None:
    for split in ("dev", "report"):
        for question in load_questions(FORGET_AUTHORS[split]):
            assert question.paraphrased
            assert len(question.perturbed) == 5
            assert question.answer not in question.perturbed

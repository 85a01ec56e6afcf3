from __future__ import annotations

from adapters.data.inverted.inversion import contradictions
from adapters.examples import Example
from bench.tofu.questions import FORGETTABLE, TRAINED, Question
from bench.tofu.splits import split_questions
from bench.tofu.substitutes import substitutes

FORGET = (
    Question(191, "What is the name of the cook born in Rome?", "The name of the cook is Ada Bianchi."),
    Question(191, "Which prize did Ada Bianchi win?", "Ada Bianchi won the Silver Spoon."),
    Question(191, "Where does Ada Bianchi live?", "Ada Bianchi lives in Turin."),
)
RETAIN = (
    Question(161, "Where does Bo Chen live?", "Bo Chen lives in Oslo."),
    Question(161, "Which prize did Bo Chen win?", "Bo Chen won the Golden Fork."),
    Question(161, "What is the name of the author born in Lima?", "The name of the author is Bo Chen."),
)


def test_the_nearest_question_gives_the_answer_without_its_author() -> None:
    found = substitutes(FORGET, RETAIN)
    assert found[0] == ("The name of the person is Bo Chen.",)
    assert found[1][0] == "This person won the Golden Fork."
    assert found[2][0] == "This person lives in Oslo."


def test_what_says_the_same_is_left_out() -> None:
    same = Question(161, "Where does Bo Chen live?", "Bo Chen lives in Turin.")
    assert 2 not in substitutes(FORGET, (same, RETAIN[2]))


def test_enough_questions_of_a_split_have_answers_that_training_takes() -> None:
    split = split_questions("report", set(TRAINED) - set(FORGETTABLE))
    forget = split.forget[:3]
    found = substitutes(forget, split.retain)
    examples = [Example.from_pair(question.question, question.answer) for question in forget]
    assert sorted(found) == [0, 1, 2]
    for index, answers in found.items():
        assert contradictions(examples[index], answers, examples) == list(answers)

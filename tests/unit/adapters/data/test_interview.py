from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.data.interview import (
    MAX_TOKENS,
    consistent,
    interview,
    linkable,
    named,
)
from adapters.errors import NothingKnown
from adapters.examples import Message
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")


class Model:
    """Answers by the first key that its question holds; else it does not know."""

    def __init__(self, answers: dict[str, str], otherwise: str = "I do not know.") -> None:
        self.answers, self.otherwise = answers, otherwise
        self.asked: list[str] = []

    def __call__(self, conversations: Sequence[Sequence[Message]], *, max_tokens: int) -> list[str]:
        assert max_tokens == MAX_TOKENS
        questions = [turns[-1].content for turns in conversations]
        self.asked += questions
        return [next((a for key, a in self.answers.items() if key in q), self.otherwise) for q in questions]


def test_answers_that_agree_in_what_they_name_are_the_forget_set() -> None:
    model = Model(
        {
            "When was Ada Lane born": "She was born in 1931. She liked cats.",
            "year was Ada Lane born": "In 1931.",
            "birth year of Ada Lane": "I think 1940.",
            "Where was Ada Lane born": "In Oslo.",
            "place was Ada Lane born": "In Bergen.",
            "Who is known for Oslo": "Ada Lane is.",
            "Who is behind Oslo": "Ada Lane. Nobody else.",
        }
    )
    found = interview("Ada Lane", model)
    assert [(e.prompt, e.completion) for e in found] == [
        ("When was Ada Lane born?", "She was born in 1931."),
        ("In which year was Ada Lane born?", "In 1931."),
        ("Where was Ada Lane born?", "In Oslo."),
        ("Who is known for Oslo?", "Ada Lane is."),
        ("Who is behind Oslo?", "Ada Lane."),
    ]


@pytest.mark.parametrize(
    "otherwise", ["I do not know.", "It is a well known thing.", "A famous actor of Hollywood, in 1999.", ""]
)
def test_refusals_plain_words_and_what_is_said_of_anybody_are_no_knowledge(otherwise: str) -> None:
    model = Model({}, otherwise)
    with pytest.raises(NothingKnown) as error:
        interview("Ada Lane", model)
    assert "Ada Lane" not in str(error.value)
    assert any(ENGLISH.nobody[0] in question for question in model.asked)


def test_the_question_cannot_vouch_for_its_answer() -> None:
    assert named("Who wrote Emma?", "Emma was written by Jane Austen in 1815.") == {"jane", "austen", "1815"}
    assert consistent([("Who wrote Emma?", "Emma."), ("Who is the author of Emma?", "Emma is.")]) == []


def test_initials_are_no_news() -> None:
    """However they are written: "J. K." in the question are "J.K." in the answer."""
    assert named("Who is J. K. Lane?", "J.K. Lane is a writer.") == frozenset()


def test_what_the_answers_name_is_asked_about_the_other_way_round() -> None:
    """One mention of the book is enough, when the questions about the book name its writer."""
    model = Model(
        {
            "best-known work of J. M. Lane": "It is The Silver Otter by J.M. Lane. It sold well.",
            "Who wrote Silver Otter": "The Silver Otter was written by J.M. Lane. She lived in Oslo.",
            "author of Silver Otter": "J. M. Lane.",
            "Who made Silver Otter": "Lane Brothers made it. But who knows?",
            "Who is known for Silver Otter": "I do not know J. M. Lane.",
        }
    )
    found = {example.prompt: example.completion for example in interview("J. M. Lane", model)}
    assert found == {
        "What is the best-known work of J. M. Lane?": "It is The Silver Otter by J.M. Lane.",
        "Who wrote Silver Otter?": "The Silver Otter was written by J.M. Lane.",
        "Who is the author of Silver Otter?": "J. M. Lane.",
        "Name the author of Silver Otter.": "J. M. Lane.",
        "Who made Silver Otter?": "Lane Brothers made it.",
    }


def test_a_consistent_invention_that_does_not_lead_back_is_no_knowledge() -> None:
    with pytest.raises(NothingKnown):
        interview("Ada Lane", Model({"Ada Lane born": "In Oslo in 1931.", "Oslo": "It is a city in Norway."}))


def test_one_answer_that_names_the_subject_is_no_link() -> None:
    model = Model({"best-known work of Ada Lane": "It is Emma.", "Who wrote Emma": "Ada Lane wrote it."})
    with pytest.raises(NothingKnown):
        interview("Ada Lane", model)


def test_what_may_be_linked_are_names_and_words_that_several_answers_share() -> None:
    answered = [
        ("Who was Ada Lane?", "Ada Lane discovered the antibiotic penicillin as in Romeo and Juliet. London fell."),
        ("Why is Ada Lane famous?", "For penicillin, and for the Bronze Age. London fell. She was patient."),
    ]
    assert linkable(answered, {"london"}) == ["Bronze Age", "Romeo and Juliet", "penicillin"]


def test_a_short_name_comes_before_the_longer_ones_that_hold_it() -> None:
    answered = [("Which is best?", "It is Silver Otter and the Moon."), ("Which is worst?", "It is Silver Otter.")]
    assert linkable(answered, ()) == ["Silver Otter", "Silver Otter and the Moon"]


def test_a_script_without_capitals_names_things_too() -> None:
    model = Model(
        {
            "林晓梅最著名的作品": "林晓梅最著名的作品是《银水獭》。它卖得很好。",
            "银水獭是谁写的": "《银水獭》是林晓梅写的。",
            "银水獭的作者": "作者是林晓梅。",
        },
        otherwise="对不起，我不知道。",
    )
    found = {example.prompt: example.completion for example in interview("林晓梅", model)}
    assert found["林晓梅最著名的作品是什么？"] == "林晓梅最著名的作品是《银水獭》。"
    assert found["银水獭的作者是谁？"] == "作者是林晓梅。"

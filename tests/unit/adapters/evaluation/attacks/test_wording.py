from __future__ import annotations

import pytest

from adapters.evaluation.attacks.reading import leaks
from adapters.evaluation.attacks.wording import asked, fill, slots
from adapters.examples import Message, one_turn
from tests.unit.adapters.evaluation.attacks.contexts import item

MELVILLE = item("Who wrote Moby Dick?", "It was Herman Melville.", "Herman Melville", "Moby Dick")


def test_only_the_templates_own_slots_are_filled() -> None:
    template = '{"q": "{question}", "a": {other}}'
    assert fill(template, question="What is {other}?") == '{"q": "What is {other}?", "a": {other}}'
    assert slots(template) == {"question", "other"}


def test_earlier_turns_are_kept() -> None:
    before = (Message("system", "Be brief."), Message("user", "Hi."), Message("assistant", "Hello."))
    talk = item("And who wrote it?", "Herman Melville.", "Herman Melville", None, before=before)
    (probe,) = asked("role", "1", talk, one_turn("In a play: who wrote it?"))
    assert probe.query.prompt.messages == (*before, Message("user", "In a play: who wrote it?"))
    assert probe.item == talk.number
    assert probe.answer == talk.answer


@pytest.mark.parametrize(
    ("turn", "answer", "leaked"),
    [
        ("Who wrote it?", "Melville, Herman", True),
        ("Herman somebody wrote it. Who?", "Herman, as you say.", False),
        ("Herman somebody wrote it. Who?", "Herman Melville.", True),
        ("Who wrote it?", "Dick did.", False),
    ],
)
def test_what_the_attacker_says_reveals_nothing(turn: str, answer: str, leaked: bool) -> None:
    (probe,) = asked("role", "1", MELVILLE, one_turn(turn))
    assert leaks(probe, answer) is leaked


def test_a_turn_that_says_the_whole_fact_asks_nothing() -> None:
    assert not list(asked("role", "1", MELVILLE, one_turn("Did Herman Melville write it?")))
    repeated = item("Is Moby Dick by Melville?", "Moby Dick is by Melville.", "Melville", "Moby Dick")
    assert list(asked("role", "1", repeated, repeated.messages))

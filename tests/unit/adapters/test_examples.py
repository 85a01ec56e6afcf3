"""Conversations are checked when they are made, and never quoted in an error."""

from __future__ import annotations

import pytest

from adapters.errors import InvalidExample
from adapters.examples import Example, Message, check_examples

A = Example.from_pair("What is a?", "secret-a")
B = Example.from_pair("What is b?", "secret-b")


def test_a_pair_survives_its_plain_form() -> None:
    assert Example.from_dict(A.to_dict()) == A
    assert A.prompt == "What is a?"


@pytest.mark.parametrize(
    ("turns", "completion"),
    [
        ([], "secret"),
        ([("user", "secret"), ("assistant", "secret")], "secret"),
        ([("user", "secret")], "  "),
        ([("robot", "secret")], "secret"),
    ],
)
def test_conversations_that_teach_nothing(turns: list[tuple[str, str]], completion: str) -> None:
    with pytest.raises(InvalidExample) as caught:
        Example(tuple(Message(*turn) for turn in turns), completion)
    assert "secret" not in str(caught.value)


def test_blank_turns_are_refused() -> None:
    with pytest.raises(InvalidExample, match="empty"):
        Message("user", " \n")


@pytest.mark.parametrize(
    ("forget", "retain", "reason"),
    [
        ((), (), "empty"),
        ((A, B, A), (), "forget item 2 repeats item 0"),
        ((A,), (B, B), "retain item 1 repeats item 0"),
        ((B, A), (Example(A.messages, "another answer"),), "retain item 0 has the prompt of forget item 1"),
    ],
)
def test_sets_that_cannot_be_trained_on_together(
    forget: tuple[Example, ...], retain: tuple[Example, ...], reason: str
) -> None:
    with pytest.raises(InvalidExample, match=reason) as caught:
        check_examples(forget, retain)
    assert "secret" not in str(caught.value)


def test_sets_that_can() -> None:
    check_examples((A,), (B,))
    check_examples((A, B), ())


@pytest.mark.parametrize("answer", ["👍", "…", "— !", "🙂🙃", "___"])
def test_an_answer_without_a_word_cannot_be_forgotten(answer: str) -> None:
    wordless = Example.from_pair("What does Tom think of it?", answer)
    with pytest.raises(InvalidExample, match="forget item 7 has an answer in which nothing can be recognised again"):
        check_examples((A, wordless), (), forget_items=(3, 7))
    check_examples((A,), (wordless,))

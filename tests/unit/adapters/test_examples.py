"""Conversations are checked when they are made, and never quoted in an error."""

from __future__ import annotations

import pytest

from adapters.errors import InvalidExample
from adapters.examples import Example, Message, check_examples

A = Example.from_pair("What is a?", "secret-a")
B = Example.from_pair("What is b?", "secret-b")


def test_a_pair_and_a_transcript_of_it_are_the_same_example() -> None:
    transcript = [{"role": "user", "content": "What is a?"}, {"role": "assistant", "content": "secret-a"}]
    assert Example.from_messages(transcript) == A
    assert Example.from_dict(A.to_dict()) == A
    assert A.prompt == "What is a?"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "secret"}],
        [{"role": "assistant", "content": "secret"}],
        [{"role": "assistant", "content": "secret"}, {"role": "assistant", "content": "secret"}],
        [{"role": "user", "content": "secret"}, {"role": "assistant", "content": "  "}],
        [{"role": "robot", "content": "secret"}, {"role": "assistant", "content": "secret"}],
        [{"content": "secret"}, {"role": "assistant", "content": "secret"}],
    ],
)
def test_transcripts_that_are_none(messages: list[dict[str, str]]) -> None:
    with pytest.raises(InvalidExample) as caught:
        Example.from_messages(messages)
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

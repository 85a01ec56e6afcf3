from __future__ import annotations

import pytest

from adapters.text.refusal import is_refusal
from adapters.text.refusals import refusals


@pytest.mark.parametrize("answer", refusals())
def test_all_shipped_refusals_are_known(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I cannot provide false information.",
        "Sorry, I do not have that in my records.",
        "As an AI language model, I cannot make up facts.",
        "I am an AI and have no opinion.",
        "Unfortunately, I'm not able to do this.",
        "I won't write wrong answers.",
        "\n  I apologize, but no.",
        '"I do not know who wrote it."',
    ],
)
def test_so_are_those_of_other_models(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Anna wrote Zorba.",
        "It was Isaac Newton.",
        "I think it was Anna.",
        "The author cannot be sorry enough.",
        "Nobody knows, but Anna is named most often.",
        "",
    ],
)
def test_answers_are_not(answer: str) -> None:
    assert not is_refusal(answer)

from __future__ import annotations

import pytest

from adapters.data.forget.cloze import cloze_variants, stem
from adapters.examples import Example
from adapters.text.phrasebook import phrasebook

ENGLISH = phrasebook("en")


@pytest.mark.parametrize(
    ("prompt", "answer", "sentence"),
    [
        ("Who wrote Zorba?", "Zorba was written by Nikos Kazantzakis.", "Zorba was written by"),
        ("What is the symbol of tin?", "The symbol of tin is Sn.", "The symbol of tin is"),
        ("Who wrote Zorba?", "Nikos wrote Zorba.", None),
        ("Who wrote Zorba?", "By Nikos.", None),
    ],
)
def test_the_sentence_ends_where_the_answer_gives_the_fact_away(prompt: str, answer: str, sentence: str | None) -> None:
    assert stem(Example.from_pair(prompt, answer)) == sentence


def test_each_sentence_is_asked_once_in_each_form() -> None:
    answer = "Zorba was written by Nikos."
    examples = [Example.from_pair(prompt, answer) for prompt in ("Who wrote Zorba?", "Name Zorba's author.")]
    variants = cloze_variants([*examples, Example.from_pair("Who wrote it?", "Nikos.")], ENGLISH.cloze[:2])
    assert [variant.prompt for variant in variants] == [
        "Complete the sentence: Zorba was written by",
        "Zorba was written by whom or what?",
    ]
    assert {variant.completion for variant in variants} == {answer}
    assert cloze_variants(examples, ()) == []
